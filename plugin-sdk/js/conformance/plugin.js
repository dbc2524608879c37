// The conformance plugin in JavaScript. ../../conformance/README.md specifies its behaviour.
import { counter, cut, definePlugin, drop, keep, kv, log, outcomeWord, protocolWord, setting, settings, tables } from './lightmon.js';

const endpoint = (address, port) => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`);

export default definePlugin({
  needs: ['process', 'args', 'parents', 'container', 'labels', 'tags', 'dname', 'extra'],
  period: 1000,

  init(config) {
    this.settings = settings(config, {
      drop_port: setting.number(53),
      greeting: setting.text('hello'),
      when: setting.text(),
      table: setting.text(),
    });
    const { table } = this.settings;
    this.table = table && tables.open(table, 'name');
    log.info('conformance started');
  },

  when() {
    return this.settings.when;
  },

  event(event) {
    if (event.destinationPort === this.settings.drop_port) return drop();
    const { process, container } = event;
    const { args } = process ?? {};
    const parent = process?.parents?.[0];
    const verdict = keep();
    const tag = (key, value) => verdict.tag(key, cut(String(value), 100));
    tag('dst', endpoint(event.destination, event.destinationPort));
    tag('src', endpoint(event.source, event.sourcePort));
    tag('time', event.timeNs);
    tag('latency', event.latencyNs ?? '-');
    tag('ids', `${event.pid}/${event.tid}/${event.uid}/${event.gid}`);
    tag('who', process ? `${process.user} ${process.comm} ${process.path ?? '-'}` : '-');
    tag('args', args ? `${args.length} ${args.at(-1) ?? ''}` : '-');
    tag('parent', parent ? `${parent.pid} ${parent.comm}` : '-');
    tag('container', container ? `${container.id} ${container.name} ${container.image}` : '-');
    tag('label', event.labels.team ?? '-');
    tag('earlier', Object.keys(event.tags).length);
    tag('outcome', `${event.outcome} ${outcomeWord(event.outcome)}`);
    tag('protocol', protocolWord(event.protocol));
    tag('errno', event.errno);
    if (this.table) tag('table', this.table.lookupIp(event.destinationIp) ?? '-');
    if (args?.length >= 2) verdict.set('args/1', '***');
    if (event.destinationPort === 514) verdict.line(`${this.settings.greeting} ${process?.comm ?? ''}`);
    return verdict;
  },

  afterBatch(events) {
    counter.add('events', events);
    kv.set('events', BigInt(kv.get('events') ?? 0) + BigInt(events));
  },

  tick: () => [{ name: 'seen', fields: { events: kv.get('events') ?? 0 } }],
  stop: () => [{ name: 'total', fields: { events: kv.get('events') ?? 0 } }],
});

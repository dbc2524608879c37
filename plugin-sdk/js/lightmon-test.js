// Runs a plugin in tests under node, without WebAssembly. Implements the functions of the host, so that tests can read the
// plugin's messages, counters and store. Enforces none of the host's limits.
import { connect, drop, parseAddress } from './lightmon.js';

const EVENT = {
  time: 1_700_000_000_000_000_000n, source: '192.0.2.1', sourcePort: 40000, destination: '198.51.100.7', destinationPort: 443,
  pid: 100, tid: 100, uid: 1000, gid: 1000, errno: 0, kind: 1, protocol: 6, outcome: 1,
};

/** A plugin under test. `config` are its settings; `tables` are granted tables: `{ country: { '192.0.2.1': 'FR' } }`. */
export class Harness {
  logged = [];
  counters = {};
  kv = new Map();
  #plugin;

  constructor(plugin, config = {}, { tables = {} } = {}) {
    this.#plugin = plugin;
    const names = Object.keys(tables);
    const find = (table, keys) => keys.map((key) => tables[names[table]][key]);
    connect({
      log: (level, text) => this.logged.push([level, text]),
      counter: { add: (name, delta) => { this.counters[name] = (this.counters[name] ?? 0n) + delta; } },
      kv: {
        get: (key) => this.kv.get(key),
        set: (key, value) => { this.kv.set(key, value); return true; },
        delete: (key) => { this.kv.delete(key); },
      },
      tables: {
        open: (name) => {
          if (!names.includes(name)) throw new Error(`table \`${name}\` was not granted`);
          return names.indexOf(name);
        },
        lookupIp: (table, addresses) => find(table, addresses.map(({ hi, lo }) => known(tables[names[table]], hi, lo))),
        lookupName: find,
      },
    });
    this.setup = plugin.filter.init(JSON.stringify(config));
  }

  /** Runs the plugin on a batch. Returns one list of actions for each event. `TestEvent` in lightmon-test.d.ts has the fields. */
  batch(events) {
    const batch = { processes: [], containers: [], events: [] };
    for (const { process, container, tags, extra, source, destination, time, ...rest } of events.map((it) => ({ ...EVENT, ...it }))) {
      const index = (list, item, defaults) => (item ? list.push({ ...defaults, ...item }) - 1 : undefined);
      batch.events.push({
        ...rest,
        timeNs: time,
        source: parseAddress(source),
        destination: parseAddress(destination),
        process: index(batch.processes, process, { user: 'alice', comm: 'app' }),
        container: index(batch.containers, container && { ...container, labels: container.labels && Object.entries(container.labels) }, { id: '', name: '', image: '' }),
        tags: tags && Object.entries(tags),
        extra: extra && Object.entries(extra),
      });
    }
    const actions = this.#plugin.filter.process(batch);
    const of = ({ tag, val }) => (tag === 'drop' ? val : val.event);
    return events.map((_, index) => actions.filter((action) => of(action) === index).map(simplified));
  }

  /** Runs the plugin on one event and returns the list of actions. */
  event(event = {}) {
    return this.batch([event])[0];
  }

  tick(nowNs = EVENT.time) { return this.#plugin.tick.tick(nowNs); }
  stop(nowNs = EVENT.time) { return this.#plugin.stop.stop(nowNs); }
}

/** The actions of a verdict in the form that `Harness.event` returns; for comparisons. */
export const actions = (verdict) => verdict.actions(0).map(simplified);

/** The actions that `Harness.event` returns for a dropped event. */
export const dropped = actions(drop());

function simplified({ tag, val }) {
  if (tag === 'drop') return ['drop'];
  const { event, ...rest } = val;
  return [tag, ...Object.values(rest)];
}

function known(table, hi, lo) {
  return Object.keys(table).find((text) => {
    const ip = parseAddress(text);
    return ip.hi === hi && ip.lo === lo;
  });
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cut, definePlugin, formatAddress, keep, outcomeWord, parseAddress, protocolWord, setting, settings, tables } from '../lightmon.js';
import { Harness } from '../lightmon-test.js';

test('addresses are formatted as in RFC 5952 and parsed back', () => {
  for (const [text, written] of [
    ['192.168.1.1', '192.168.1.1'], ['0.0.0.0', '0.0.0.0'], ['255.255.255.255', '255.255.255.255'],
    ['::ffff:10.0.0.1', '10.0.0.1'], ['::', '::'], ['::1', '::1'], ['1::', '1::'], ['::1.2.3.4', '::102:304'],
    ['2001:DB8:0:0:0:0:2:1', '2001:db8::2:1'], ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'], ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['fe80::ffff:ffff:ffff:ffff', 'fe80::ffff:ffff:ffff:ffff'], ['1:2:3:4:5:6:0:0', '1:2:3:4:5:6::'],
    ['0:0:3:4:5:6:7:8', '::3:4:5:6:7:8'], ['8000::8000:0:0:1', '8000::8000:0:0:1'],
  ]) assert.equal(formatAddress(parseAddress(text)), written, text);
  for (const text of ['', '1', '1.2.3', '1.2.3.256', '01.2.3.4', ':', ':::', '1::2::3', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '12345::', '1.2.3.4::', 'g::'])
    assert.throws(() => parseAddress(text), text);
});

test('texts are truncated between characters', () => {
  for (const [text, bytes, expect] of [['abc', 3, 'abc'], ['abcd', 3, 'abc'], ['éé', 3, 'é'], ['a€', 3, 'a'], ['😀😀', 7, '😀'], ['', 0, '']])
    assert.equal(cut(text, bytes), expect);
});

test('unknown outcomes and protocols have words', () => {
  assert.deepEqual([0, 5, 12, 13].map(outcomeWord), ['unknown', 'timed-out', 'sent', 'unknown']);
  assert.deepEqual([6, 17, 132].map(protocolWord), ['tcp', 'udp', '132']);
});

test('settings are converted to their type', () => {
  const known = { ports: setting.list([]), over: setting.number(5), deep: setting.flag(false), mask: setting.text() };
  assert.deepEqual(settings({ ports: '80+ 443', over: '7', deep: 'true', mask: 0 }, known), { ports: ['80', '443'], over: 7, deep: true, mask: '0' });
  assert.deepEqual(settings({ over: null }, known), { ports: [], over: 5, deep: false, mask: undefined });
  assert.throws(() => settings({ over: '' }, known), /setting `over`: expected a number, not ""/);
  assert.throws(() => settings({ toString: 1 }, known), /unknown setting `toString`/);
});

test('times keep all digits, and a fault is logged', () => {
  const plugin = definePlugin({
    event(event) {
      if (event.destinationPort === 1) throw new Error('no');
      return keep().tag('time', event.timeNs + 1n).tag('dst', event.destination);
    },
  });
  const harness = new Harness(plugin);
  assert.deepEqual(harness.event({ time: 9007199254740993n }), [['tag', 'time', '9007199254740994'], ['tag', 'dst', '198.51.100.7']]);
  assert.throws(() => harness.event({ destinationPort: 1 }), /no/);
  assert.match(harness.logged[0][1], /^Error: no\n/);
});

test('a plugin looks addresses up in a granted table', () => {
  const plugin = definePlugin({
    init() { this.table = tables.open('country'); },
    event(event) { return keep().tag('c', this.table.lookupIp(event.destination) ?? '-'); },
  });
  const harness = new Harness(plugin, {}, { tables: { country: { '192.0.2.1': 'FR' } } });
  assert.deepEqual(harness.event({ destination: '192.0.2.1' }), [['tag', 'c', 'FR']]);
  assert.deepEqual(harness.event(), [['tag', 'c', '-']]);
  assert.throws(() => new Harness(plugin), (error) => error === 'table `country` was not granted');
});

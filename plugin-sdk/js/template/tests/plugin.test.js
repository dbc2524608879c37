import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keep } from '../lightmon.js';
import { Harness, actions, dropped } from '../lightmon-test.js';
import plugin from '../plugin.js';

test('tags slow connections', () => {
  const harness = new Harness(plugin, { over: '20' });
  assert.deepEqual(harness.event({ latencyNs: 23_456_789n }), actions(keep().tag('slow', '23 ms')));
  assert.deepEqual(harness.event({ latencyNs: 19_999_999n }), []);
  assert.deepEqual(harness.event(), []);
});

test('drops DNS queries', () => {
  assert.deepEqual(new Harness(plugin).event({ destinationPort: 53 }), dropped);
});

test('errors name the setting', () => {
  const refused = (config) => {
    try {
      new Harness(plugin, config);
    } catch (error) {
      return error;
    }
  };
  assert.equal(refused({ ovre: 20 }), 'unknown setting `ovre`');
  assert.equal(refused({ over: 'long' }), 'setting `over`: expected a number, not "long"');
  assert.equal(refused({ over: -1 }), 'setting `over`: expected milliseconds, not -1');
});

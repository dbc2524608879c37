import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Harness } from '../lightmon-test.js';
import plugin from '../plugin.js';

const EVENT = {
  time: 1_795_446_240_123_456_789n,
  latencyNs: 1_234_567n,
  destination: '2001:db8:0:0:0:0:0:1',
  outcome: 3,
  errno: 111,
  process: { user: 'alice', comm: 'curl', path: '/usr/bin/curl', args: ['curl', 'a "b"', 'c\nd'], parents: [{ pid: 7, comm: 'bash' }] },
  container: { id: '0123456789abcdef', name: '', image: '', labels: { team: 'web' } },
  tags: { country: 'FR' },
};

const line = (template, event = EVENT, settings = {}) => {
  const [[action, text], ...more] = new Harness(plugin, { template, ...settings }).event(event);
  assert.deepEqual([action, more], ['line', []]);
  return text;
};

const refused = (config) => {
  try {
    new Harness(plugin, config);
  } catch (error) {
    return error;
  }
};

test('a line contains the values', () => {
  assert.equal(
    line('{time} {user} {comm} -> {destination} {outcome} {tag:country}'),
    '2026-11-23T15:04:00.123456789Z alice curl -> [2001:db8::1]:443 refused FR',
  );
  assert.equal(line('{parent}({parent_pid}) {container} {image} {label:team} {latency_ms}'), 'bash(7) 0123456789ab - web 1.234');
  assert.equal(line('{{{comm}}} {tags} {labels}'), '{curl} country=FR team=web');
});

test('missing values have a placeholder text', () => {
  assert.equal(line('{path} {dname} {tag:x} {args} {latency_ns} {errno}', {}), '- - - - - -');
  assert.equal(line('{dname}|{tag:constructor}', {}, { missing: '' }), '|');
});

test('values are escaped', () => {
  assert.equal(line('{args}'), 'curl a "b" c\\u{a}d');
  assert.equal(line('{json:args} {json:comm} {json:pid}'), '["curl","a \\"b\\"","c\\nd"] "curl" 100');
  assert.equal(line('{json:dname} {json:tags} {json:time_ns}'), 'null {"country":"FR"} 1795446240123456789');
  const hidden = { process: { comm: '\u001b[2J\u202e\u{e0041}' } };
  assert.equal(line('{comm}', hidden), '\\u{1b}[2J\\u{202e}\\u{e0041}');
  assert.equal(line('{json:comm}', hidden), '"\\u001b[2J\\u202e\\udb40\\udc41"');
  assert.equal(JSON.parse(line('{json:comm}', hidden)), hidden.process.comm);
});

test('long values are truncated', () => {
  const process = { comm: 'x', args: ['é'.repeat(3000), 'y'.repeat(5000)] };
  assert.equal(line('{args}', { process }), 'é'.repeat(2000));
  assert.ok(line('{json:args}', { process }).length < 7000);
});

test('only the needed fields are requested', () => {
  const needs = (template) => Object.keys(new Harness(plugin, { template }).setup.needs);
  assert.deepEqual(needs('{time} {destination}'), []);
  assert.deepEqual(needs('{args} {json:label:x} {args}'), ['args', 'labels']);
});

test('invalid templates are refused', () => {
  assert.match(refused({}), /^setting `template`: missing; set it/);
  assert.match(refused({ template: '{comm} {com}' }), /^setting `template`: unknown placeholder `\{com\}`; expected one of time, .*, tag:KEY, .*, each also as \{json:NAME\}$/);
  assert.match(refused({ template: '{tag:}' }), /unknown placeholder `\{tag:\}`/);
  assert.match(refused({ template: '{comm' }), /`\{comm` has no closing brace/);
  assert.match(refused({ template: 'x} {comm}' }), /unmatched } before/);
  assert.match(refused({ template: 'x' }), /no placeholder/);
  assert.equal(refused({ template: '{comm}', x: 1 }), 'unknown setting `x`');
});

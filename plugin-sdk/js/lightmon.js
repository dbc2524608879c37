// SDK for lightmon plugins in JavaScript and TypeScript. `definePlugin` makes a plugin; lightmon.d.ts has the types.
// Depends on the contract in wit/, never on the host. In tests under node, lightmon-test.js takes the place of the host.

let host;

/** Sets the functions of the host. Called by the entry module that lightmon-build.js generates, and by tests. */
export function connect(functions) {
  host = functions;
}

const OUTCOMES = [
  undefined, 'established', 'connected', 'refused', 'reset', 'timed-out', 'unreachable', 'denied', 'address-unavailable',
  'aborted', 'failed', 'pending', 'sent',
];

/** Values of `event.outcome`. Later versions may add outcomes: expect other numbers. */
export const Outcome = Object.freeze({
  ESTABLISHED: 1, CONNECTED: 2, REFUSED: 3, RESET: 4, TIMED_OUT: 5, UNREACHABLE: 6, DENIED: 7, ADDRESS_UNAVAILABLE: 8,
  ABORTED: 9, FAILED: 10, PENDING: 11, SENT: 12,
});

/** Values of `event.protocol`, by IANA number. Expect other numbers. */
export const Protocol = Object.freeze({ TCP: 6, UDP: 17 });

/** The word for an outcome in lightmon's output; `unknown` for a number that this version does not know. */
export const outcomeWord = (outcome) => OUTCOMES[outcome] ?? 'unknown';

/** `tcp`, `udp`, or the number as text. */
export const protocolWord = (protocol) =>
  protocol === Protocol.TCP ? 'tcp' : protocol === Protocol.UDP ? 'udp' : String(protocol);

/** Formats an address: IPv4 in dotted form, IPv6 in the form of RFC 5952. */
export function formatAddress({ hi, lo }) {
  if (hi === 0n && lo >> 32n === 0xffffn) {
    const v4 = Number(lo & 0xffffffffn);
    return `${v4 >>> 24}.${(v4 >>> 16) & 255}.${(v4 >>> 8) & 255}.${v4 & 255}`;
  }
  const groups = [];
  for (const half of [hi, lo]) {
    // Numbers are faster than BigInts.
    const [upper, lower] = [Number(half >> 32n), Number(half & 0xffffffffn)];
    groups.push(upper >>> 16, upper & 0xffff, lower >>> 16, lower & 0xffff);
  }
  // The first of the longest runs of two or more zero groups becomes `::`.
  let start = 0;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (groups[end] === 0) end++;
    if (end - i > length) [start, length] = [i, end - i];
    if (end > i) i = end;
  }
  const hex = (part) => part.map((group) => group.toString(16)).join(':');
  return length < 2 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

/** Parses an address. Throws if the text is not an address. */
export function parseAddress(text) {
  const bad = () => new Error(`\`${text}\` is not an address`);
  const v4 = (part) => {
    const numbers = part.split('.');
    if (numbers.length !== 4 || !numbers.every((number) => /^(0|[1-9]\d{0,2})$/.test(number) && number < 256)) throw bad();
    return numbers.map(Number);
  };
  if (!text.includes(':')) {
    return { hi: 0n, lo: v4(text).reduce((all, number) => (all << 8n) | BigInt(number), 0xffffn) };
  }
  const groups = (part, which, parts) =>
    part === '' ? [] : part.split(':').flatMap((group, at, all) => {
      if (group.includes('.') && which === parts.length - 1 && at === all.length - 1) {
        const [a, b, c, d] = v4(group);
        return [(a << 8) | b, (c << 8) | d];
      }
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) throw bad();
      return [parseInt(group, 16)];
    });
  const parts = text.split('::');
  if (parts.length > 2) throw bad();
  const [before, after] = parts.map(groups);
  const missing = 8 - before.length - (after?.length ?? 0);
  if (after ? missing < 1 : missing !== 0) throw bad();
  const all = after ? [...before, ...Array(missing).fill(0), ...after] : before;
  const half = (part) => part.reduce((sum, group) => (sum << 16n) | BigInt(group), 0n);
  return { hi: half(all.slice(0, 4)), lo: half(all.slice(4)) };
}

const ASCII = /^[\0-\x7f]*$/;

/** Truncates a text to at most `bytes` of UTF-8, at the end of a character. A tag has at most 128 bytes, key and value together. */
export function cut(text, bytes) {
  // A UTF-16 code unit takes at most three bytes of UTF-8.
  if (text.length * 3 <= bytes) return text;
  if (text.length <= bytes && ASCII.test(text)) return text;
  let used = 0;
  let end = 0;
  for (const character of text) {
    const code = character.codePointAt(0);
    used += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    if (used > bytes) return text.slice(0, end);
    end += character.length;
  }
  return text;
}

// Without a prototype, so that `labels.constructor` is undefined unless a label has this key.
const object = (pairs) => {
  const all = Object.create(null);
  for (const [key, value] of pairs ?? []) all[key] = value;
  return all;
};

/** One connection. Converts a field only when it is read. */
export class Event {
  #raw;
  #batch;

  constructor(raw, batch) {
    this.#raw = raw;
    this.#batch = batch;
  }

  get timeNs() { return this.#raw.timeNs; }
  get latencyNs() { return this.#raw.latencyNs; }
  get sourceIp() { return this.#raw.source; }
  get destinationIp() { return this.#raw.destination; }
  get source() { return formatAddress(this.#raw.source); }
  get destination() { return formatAddress(this.#raw.destination); }
  get sourcePort() { return this.#raw.sourcePort; }
  get destinationPort() { return this.#raw.destinationPort; }
  get pid() { return this.#raw.pid; }
  get tid() { return this.#raw.tid; }
  get uid() { return this.#raw.uid; }
  get gid() { return this.#raw.gid; }
  get errno() { return this.#raw.errno; }
  get kind() { return this.#raw.kind; }
  get protocol() { return this.#raw.protocol; }
  get outcome() { return this.#raw.outcome; }
  get process() { return this.#batch.processes[this.#raw.process]; }
  get container() { return this.#batch.containers[this.#raw.container]; }
  get dname() { return this.#raw.dname; }
  get labels() { return object(this.container?.labels); }
  get tags() { return object(this.#raw.tags); }
  get extra() { return object(this.#raw.extra); }
}

/** The decision on an event: keep it, drop it, or change it. */
export class Verdict {
  #actions = [];

  tag(key, value) { return this.#add('tag', { event: 0, key, value: String(value) }); }
  set(field, text) { return this.#add('set', { event: 0, field, text: String(text) }); }
  line(text) { return this.#add('line', { event: 0, text: String(text) }); }

  #add(tag, val) {
    this.#actions.push({ tag, val });
    return this;
  }

  /** The actions in the form of the contract, for the event with this index. */
  actions(event) {
    for (const { val } of this.#actions) val.event = event;
    return this.#actions;
  }
}

class Drop extends Verdict {
  actions(event) { return [{ tag: 'drop', val: event }]; }
}

/** Keeps the event. `.tag()`, `.set()` and `.line()` change it. */
export const keep = () => new Verdict();
/** Drops the event. */
export const drop = () => new Drop();

/** Writes messages to lightmon's log, at most 20 a second. */
export const log = Object.freeze({
  error: (text) => host.log(1, String(text)),
  warn: (text) => host.log(2, String(text)),
  info: (text) => host.log(3, String(text)),
  debug: (text) => host.log(4, String(text)),
});

/** Counters in lightmon's summary, at most 64. */
export const counter = Object.freeze({
  add: (name, delta = 1) => host.counter.add(name, BigInt(delta)),
});

/** A key-value store of 1 MiB that survives a fault and a reload. */
export const kv = Object.freeze({
  get: (key) => host.kv.get(key),
  set: (key, value) => host.kv.set(key, String(value)),
  delete: (key) => host.kv['delete'](key),
});

/** For an `err` of the host, componentize-js throws an object with the text in `payload`. */
const errorText = (error) => error?.payload ?? error?.message ?? String(error);

/** Lookup tables that the user granted. */
export const tables = Object.freeze({
  open(name, column = '') {
    let table;
    try {
      table = host.tables.open(name, column);
    } catch (error) {
      throw new Error(errorText(error));
    }
    const ip = (address) => (typeof address === 'string' ? parseAddress(address) : address);
    return {
      lookupIps: (addresses) => host.tables.lookupIp(table, addresses.map(ip)),
      lookupNames: (names) => host.tables.lookupName(table, names),
      lookupIp: (address) => host.tables.lookupIp(table, [ip(address)])[0],
      lookupName: (name) => host.tables.lookupName(table, [name])[0],
    };
  },
});

const wrong = (key, expected, value) => {
  throw new Error(`setting \`${key}\`: expected ${expected}, not ${JSON.stringify(value)}`);
};
const kind = (read) => (fallback) => ({ read, fallback });

/** The types of settings. Text is converted, because settings from the command line are text. */
export const setting = Object.freeze({
  text: kind((key, value) => (['string', 'number'].includes(typeof value) ? String(value) : wrong(key, 'a text', value))),
  number: kind((key, value) => {
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
    return typeof number === 'number' && Number.isFinite(number) ? number : wrong(key, 'a number', value);
  }),
  flag: kind((key, value) => {
    if (value === true || value === 'true') return true;
    return value === false || value === 'false' ? false : wrong(key, 'true or false', value);
  }),
  list: kind((key, value) => {
    if (Array.isArray(value)) return value.map(String);
    return typeof value === 'string' ? value.split(/[+,]/).map((it) => it.trim()).filter(Boolean) : wrong(key, 'a list', value);
  }),
});

/** Reads the settings that `known` describes. Throws an error that names the setting if it is unknown or wrong. */
export function settings(config, known) {
  for (const key of Object.keys(config)) {
    if (!Object.hasOwn(known, key)) throw new Error(`unknown setting \`${key}\``);
  }
  const given = (key) => config[key] !== undefined && config[key] !== null;
  return Object.fromEntries(
    Object.entries(known).map(([key, { read, fallback }]) => [key, given(key) ? read(key, config[key]) : fallback]),
  );
}

/** Logs an error with its stack before it becomes a trap, because a trap carries no text. */
function logFault(what) {
  try {
    return what();
  } catch (error) {
    log.error(error?.stack ? `${error}\n${error.stack}` : error);
    throw error;
  }
}

const reports = (list) =>
  [...(list ?? [])].map(({ name, fields }) => ({
    name,
    fields: Object.entries(fields ?? {}).map(([key, value]) => [key, String(value)]),
  }));

/** Returns the exports of the contract for a plugin. */
export function definePlugin(plugin) {
  const evaluate = (value) => (typeof value === 'function' ? value.call(plugin) : value);
  return {
    filter: {
      init(json) {
        try {
          plugin.init?.(JSON.parse(json.trim() || '{}'));
          const needs = Object.fromEntries((evaluate(plugin.needs) ?? []).map((field) => [field, true]));
          return { needs, when: evaluate(plugin.when) ?? undefined, kinds: Uint8Array.from(plugin.kinds ?? []) };
        } catch (error) {
          // componentize-js turns the thrown text into an `err` of the contract.
          throw error instanceof Error ? error.message : String(error);
        }
      },
      process: (batch) =>
        logFault(() => {
          const actions = [];
          for (let index = 0; index < batch.events.length; index++) {
            const verdict = plugin.event?.(new Event(batch.events[index], batch));
            if (verdict) actions.push(...verdict.actions(index));
          }
          plugin.afterBatch?.(batch.events.length);
          return actions;
        }),
    },
    tick: {
      period: () => (plugin.tick ? (evaluate(plugin.period) ?? 1000) : 0),
      tick: (now) => logFault(() => reports(plugin.tick?.(now))),
    },
    stop: { stop: (now) => logFault(() => reports(plugin.stop?.(now))) },
  };
}

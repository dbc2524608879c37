/** SDK for lightmon plugins in JavaScript and TypeScript. */

/** A field that a plugin must request. Each requested field costs time for each event. */
export type Field =
  /** `event.process`, with user, comm and path. */
  | 'process'
  /** `process.args`; implies `process`. */
  | 'args'
  /** `process.parents`; implies `process`. */
  | 'parents'
  /** `event.container`, with id, name and image. */
  | 'container'
  /** `event.labels`; implies `container`. */
  | 'labels'
  | 'tags'
  | 'dname'
  | 'extra';

/** An address of 128 bits; an IPv4 address is IPv4-mapped. */
export interface Ip {
  readonly hi: bigint;
  readonly lo: bigint;
}

/** An ancestor of a process. */
export interface Parent {
  readonly pid: number;
  readonly comm: string;
  readonly path?: string;
}

/** A process as it was when it connected. */
export interface Process {
  /** Empty if the uid has no name. */
  readonly user: string;
  readonly comm: string;
  readonly path?: string;
  /** The program's name first; undefined if not requested or not known. */
  readonly args?: readonly string[];
  /** The nearest first; undefined if not requested or not known. */
  readonly parents?: readonly Parent[];
}

/** A container. `name` and `image` are empty if no container runtime supplied them. */
export interface Container {
  readonly id: string;
  readonly name: string;
  readonly image: string;
}

/** One connection. */
export class Event {
  private constructor();
  /** When the connection began: nanoseconds since 1970-01-01 UTC. */
  readonly timeNs: bigint;
  /** Time from the beginning of the connection to its outcome, in nanoseconds; undefined if it was not measured. */
  readonly latencyNs?: bigint;
  /** The source address as text: `192.0.2.1`, `2001:db8::1`. */
  readonly source: string;
  /** The destination address as text. */
  readonly destination: string;
  readonly sourceIp: Ip;
  readonly destinationIp: Ip;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Process id. */
  readonly pid: number;
  /** Id of the thread that connected. */
  readonly tid: number;
  readonly uid: number;
  readonly gid: number;
  /** The Linux errno that the connection ended with; 0 if there was no error. */
  readonly errno: number;
  /** 1 connection; later versions may add kinds. */
  readonly kind: number;
  /** IANA protocol number. Compare it with `Protocol`; `protocolWord` returns its name. */
  readonly protocol: number;
  /** How the connection ended. Compare it with `Outcome`; `outcomeWord` returns its name. */
  readonly outcome: number;
  /** Needs `process`. */
  readonly process?: Process;
  /** Undefined outside of containers; needs `container`. */
  readonly container?: Container;
  /** The host name that was resolved to the destination address; needs `dname`. */
  readonly dname?: string;
  /** The container's labels; needs `labels`. */
  readonly labels: Readonly<Record<string, string | undefined>>;
  /** Tags set by earlier plugins; needs `tags`. */
  readonly tags: Readonly<Record<string, string | undefined>>;
  /** Fields added after this version of the contract, such as `pod.name`; wit/plugin.wit lists all keys. Needs `extra`. */
  readonly extra: Readonly<Record<string, string | undefined>>;
}

/** A field whose text a plugin may replace. In `args/N`, 0 is the program's name. */
export type Settable =
  | 'user'
  | 'comm'
  | 'path'
  | `args/${number}`
  | 'container'
  | 'image'
  | `labels/${string}`
  | `tags/${string}`;

/** The decision on an event: keep it, drop it, or change it. */
export class Verdict {
  private constructor();
  /** Adds a tag, or replaces the tag that has the same key. At most 32 tags; key and value together have at most 128 bytes. */
  tag(key: string, value: string | number | bigint | boolean): this;
  /** Replaces the text of a field, for all later plugins and for the output. */
  set(field: Settable, text: string): this;
  /** Replaces the output line; at most 16 KiB. */
  line(text: string): this;
}

/** Keeps the event. `.tag()`, `.set()` and `.line()` change it. */
export function keep(): Verdict;
/** Drops the event. */
export function drop(): Verdict;

/** A record of the plugin's own, such as a total. lightmon writes it among the events. */
export interface Report {
  /** What the report is about, such as `suppressed`. */
  name: string;
  fields?: Record<string, string | number | bigint | boolean>;
}

/** A plugin. lightmon creates an instance when it starts, after a fault and after a reload. */
export interface Plugin {
  /** Reads the settings. If it throws, lightmon prints the text and does not start. */
  init?(config: Record<string, unknown>): void;
  /** The fields that the plugin requests. Read after `init`. */
  needs?: readonly Field[] | (() => readonly Field[]);
  /** An exclude expression; the plugin receives only events that match it. Read after `init`. */
  when?: string | undefined | (() => string | undefined);
  /** The kinds of events that the plugin supports; connections only if absent. */
  kinds?: readonly number[];
  /** Decides on one event; undefined means `keep()`. */
  event(event: Event): Verdict | undefined | void;
  /** Called after the events of a batch, with their number. */
  afterBatch?(events: number): void;
  /** Interval between two calls of `tick` in milliseconds, at least 100; 1000 if absent. */
  period?: number | (() => number);
  /** Called once in each period, also while there are no events. Needs `"world": "complete-plugin"` in plugin.json. */
  tick?(nowNs: bigint): Iterable<Report> | undefined | void;
  /** Called once before the instance ends. Needs `"world": "complete-plugin"` in plugin.json. */
  stop?(nowNs: bigint): Iterable<Report> | undefined | void;
}

/** The default export of a plugin. */
export interface Component {
  readonly filter: object;
  readonly tick: object;
  readonly stop: object;
}

/** Returns the exports of the contract for a plugin. In the functions of the plugin, `this` is the plugin. */
export function definePlugin<State extends object>(plugin: Plugin & State & ThisType<Plugin & State>): Component;

/** Values of `event.outcome`. Later versions may add outcomes: expect other numbers. */
export const Outcome: Readonly<
  Record<
    | 'ESTABLISHED' | 'CONNECTED' | 'REFUSED' | 'RESET' | 'TIMED_OUT' | 'UNREACHABLE' | 'DENIED' | 'ADDRESS_UNAVAILABLE'
    | 'ABORTED' | 'FAILED' | 'PENDING' | 'SENT',
    number
  >
>;
/** Values of `event.protocol`, by IANA number. Expect other numbers. */
export const Protocol: Readonly<Record<'TCP' | 'UDP', number>>;
/** The word for an outcome in lightmon's output; `unknown` for a number that this version does not know. */
export function outcomeWord(outcome: number): string;
/** `tcp`, `udp`, or the number as text. */
export function protocolWord(protocol: number): string;

/** Formats an address: IPv4 in dotted form, IPv6 in the form of RFC 5952. */
export function formatAddress(ip: Ip): string;
/** Parses an address. Throws if the text is not an address. */
export function parseAddress(text: string): Ip;
/** Truncates a text to at most `bytes` of UTF-8, at the end of a character. */
export function cut(text: string, bytes: number): string;

/** Writes messages to lightmon's log. lightmon discards and counts messages beyond 20 a second. */
export const log: Readonly<Record<'error' | 'warn' | 'info' | 'debug', (text: unknown) => void>>;

/** Counters in lightmon's summary, at most 64. */
export const counter: { add(name: string, delta?: number | bigint): void };

/** A key-value store of 1 MiB that survives a fault and a reload. */
export const kv: {
  get(key: string): string | undefined;
  /** Returns false if the store is full; the key then keeps its old value. */
  set(key: string, value: string | number | bigint): boolean;
  delete(key: string): void;
};

/** A lookup table that the user granted (`table.NAME=FILE`). One call for many keys is faster than many calls. */
export interface Table {
  lookupIp(address: string | Ip): string | undefined;
  lookupName(name: string): string | undefined;
  lookupIps(addresses: readonly (string | Ip)[]): (string | undefined)[];
  lookupNames(names: readonly string[]): (string | undefined)[];
}
export const tables: {
  /** Opens a granted table; throws if it was not granted. Without `column`, a lookup returns the whole entry as JSON. */
  open(name: string, column?: string): Table;
};

/** A type of setting, with its default. */
export interface Setting<T> {
  readonly fallback: T;
}
interface Kind<T> {
  (): Setting<T | undefined>;
  (fallback: T): Setting<T>;
}
/** The types of settings. Text is converted, because settings from the command line are text: `a+b` is a list of two items. */
export const setting: { text: Kind<string>; number: Kind<number>; flag: Kind<boolean>; list: Kind<string[]> };
/** Reads the settings that `known` describes. Throws if a setting is unknown or wrong. */
export function settings<K extends Record<string, Setting<unknown>>>(
  config: Record<string, unknown>,
  known: K,
): { [P in keyof K]: K[P] extends Setting<infer T> ? T : never };

/** Write lightmon plugins in JavaScript or TypeScript. */

/** What the host has to fill in, besides what is always there. What nobody asks for costs nothing. */
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

/** 128 address bits; an IPv4 address is IPv4-mapped. */
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
  /** Empty when the uid has no name. */
  readonly user: string;
  readonly comm: string;
  readonly path?: string;
  /** The program's name first; undefined when not asked for or not known. */
  readonly args?: readonly string[];
  /** The nearest first; undefined when not asked for or not known. */
  readonly parents?: readonly Parent[];
}

/** A container. `name` and `image` are empty when no runtime has told them. */
export interface Container {
  readonly id: string;
  readonly name: string;
  readonly image: string;
}

/** One connection. */
export class Event {
  private constructor();
  /** Nanoseconds since 1970-01-01 UTC, when the connection was begun. */
  readonly timeNs: bigint;
  /** From the beginning to the outcome; undefined when it was not measured. */
  readonly latencyNs?: bigint;
  /** The own address as text: `192.0.2.1`, `2001:db8::1`. */
  readonly source: string;
  /** The peer's address as text. */
  readonly destination: string;
  readonly sourceIp: Ip;
  readonly destinationIp: Ip;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** What user space calls the process. */
  readonly pid: number;
  /** The thread that connected. */
  readonly tid: number;
  readonly uid: number;
  readonly gid: number;
  /** 0, or the errno that the connection ended with (Linux numbers). */
  readonly errno: number;
  /** 1 connection; more may come. */
  readonly kind: number;
  /** IANA's number: compare with `Protocol`, say it with `protocolWord`. */
  readonly protocol: number;
  /** How it ended: compare with `Outcome`, say it with `outcomeWord`. */
  readonly outcome: number;
  /** Needs `process`. */
  readonly process?: Process;
  /** Undefined when it runs in none; needs `container`. */
  readonly container?: Container;
  /** The name that the destination was looked up by; needs `dname`. */
  readonly dname?: string;
  /** The container's labels; needs `labels`. */
  readonly labels: Readonly<Record<string, string | undefined>>;
  /** What earlier plugins have tagged; needs `tags`. */
  readonly tags: Readonly<Record<string, string | undefined>>;
  /** What came after this version of the contract, such as `pod.name`: wit/plugin.wit has all keys. Needs `extra`. */
  readonly extra: Readonly<Record<string, string | undefined>>;
}

/** A text in an event that a plugin may replace. `args/N` counts from 0, the program's name. */
export type Settable =
  | 'user'
  | 'comm'
  | 'path'
  | `args/${number}`
  | 'container'
  | 'image'
  | `labels/${string}`
  | `tags/${string}`;

/** What becomes of an event. */
export class Verdict {
  private constructor();
  /** Adds a tag, or replaces the tag of that key: at most 32 of 128 bytes, key and value together. */
  tag(key: string, value: string | number | bigint | boolean): this;
  /** Replaces a text, for later plugins and the output. */
  set(field: Settable, text: string): this;
  /** Replaces the whole output line, at most 16 KiB. */
  line(text: string): this;
}

/** Leaves the event as it is, but for what `.tag()`, `.set()` and `.line()` change. */
export function keep(): Verdict;
/** Drops the event. */
export function drop(): Verdict;

/** Something that a plugin has to say of its own, written among the events. */
export interface Report {
  /** What it is, such as `suppressed`. */
  name: string;
  fields?: Record<string, string | number | bigint | boolean>;
}

/** A plugin. One is made for each run, and again after a fault. */
export interface Plugin {
  /** Takes the settings; what it throws refuses to start, with that text. */
  init?(config: Record<string, unknown>): void;
  /** Asked after `init`. */
  needs?: readonly Field[] | (() => readonly Field[]);
  /** An expression of lightmon's exclude language: only events that match it come at all. Asked after `init`. */
  when?: string | undefined | (() => string | undefined);
  /** The kinds of events that it knows; without it connections only. */
  kinds?: readonly number[];
  /** Decides on one event; nothing at all is `keep()`. */
  event(event: Event): Verdict | undefined | void;
  /** After the events of a batch, with their number. */
  afterBatch?(events: number): void;
  /** Milliseconds from one `tick` to the next, at least 100; 1000 if it is not given. */
  period?: number | (() => number);
  /** Called now and then, also without events. Needs `"world": "complete-plugin"` in plugin.json. */
  tick?(nowNs: bigint): Iterable<Report> | undefined | void;
  /** Called once, at the end. Needs `"world": "complete-plugin"` in plugin.json. */
  stop?(nowNs: bigint): Iterable<Report> | undefined | void;
}

/** What a plugin exports as its default. */
export interface Component {
  readonly filter: object;
  readonly tick: object;
  readonly stop: object;
}

/** Makes the exports of the contract from a plugin; `this` in its functions is the plugin. */
export function definePlugin<State extends object>(plugin: Plugin & State & ThisType<Plugin & State>): Component;

/** The numbers of outcomes. An open set: expect others. */
export const Outcome: Readonly<
  Record<
    | 'ESTABLISHED' | 'CONNECTED' | 'REFUSED' | 'RESET' | 'TIMED_OUT' | 'UNREACHABLE' | 'DENIED' | 'ADDRESS_UNAVAILABLE'
    | 'ABORTED' | 'FAILED' | 'PENDING' | 'SENT',
    number
  >
>;
/** IANA's numbers. An open set: expect others. */
export const Protocol: Readonly<Record<'TCP' | 'UDP', number>>;
/** The word for an outcome, the same as in lightmon's output; `unknown` for one that came after this version. */
export function outcomeWord(outcome: number): string;
/** `tcp`, `udp`, or the number as text. */
export function protocolWord(protocol: number): string;

/** An address as text: dotted if it is IPv4, else as RFC 5952 has it. */
export function formatAddress(ip: Ip): string;
/** The address that a text stands for; throws if it is none. */
export function parseAddress(text: string): Ip;
/** Cuts a text to so many bytes of UTF-8, never within a character. */
export function cut(text: string, bytes: number): string;

/** Messages to where lightmon's own go; more than 20 a second are left out, and counted. */
export const log: Readonly<Record<'error' | 'warn' | 'info' | 'debug', (text: unknown) => void>>;

/** Numbers in lightmon's summary, at most 64 names. */
export const counter: { add(name: string, delta?: number | bigint): void };

/** A memory of 1 MiB of text that outlives a fault, and a new version of the plugin's file. */
export const kv: {
  get(key: string): string | undefined;
  /** False when there is no room; the key keeps its old value then. */
  set(key: string, value: string | number | bigint): boolean;
  delete(key: string): void;
};

/** A look-up file that the user has granted (`table.NAME=FILE`). Many in one call cost less than one by one. */
export interface Table {
  lookupIp(address: string | Ip): string | undefined;
  lookupName(name: string): string | undefined;
  lookupIps(addresses: readonly (string | Ip)[]): (string | undefined)[];
  lookupNames(names: readonly string[]): (string | undefined)[];
}
export const tables: {
  /** `column` chooses what a look-up gives; without it all, as JSON. Throws when no such table was granted. */
  open(name: string, column?: string): Table;
};

/** A kind of setting, with its default. */
export interface Setting<T> {
  readonly fallback: T;
}
interface Kind<T> {
  (): Setting<T | undefined>;
  (fallback: T): Setting<T>;
}
/** The kinds of settings. The command line knows only text, so text is taken as what is wanted; `a+b` is a list of two. */
export const setting: { text: Kind<string>; number: Kind<number>; flag: Kind<boolean>; list: Kind<string[]> };
/** Takes settings as `known` describes them; throws on one that is unknown or wrong. */
export function settings<K extends Record<string, Setting<unknown>>>(
  config: Record<string, unknown>,
  known: K,
): { [P in keyof K]: K[P] extends Setting<infer T> ? T : never };

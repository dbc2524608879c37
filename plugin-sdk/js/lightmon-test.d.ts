/** Runs a plugin in tests under node, without WebAssembly. */
import type { Component, Container, Ip, Process, Report, Verdict } from './lightmon.js';

/** An event for a test. Absent fields have default values. */
export interface TestEvent {
  time?: bigint;
  latencyNs?: bigint;
  source?: string;
  sourcePort?: number;
  destination?: string;
  destinationPort?: number;
  pid?: number;
  tid?: number;
  uid?: number;
  gid?: number;
  errno?: number;
  kind?: number;
  protocol?: number;
  outcome?: number;
  process?: Partial<Process>;
  container?: Partial<Container> & { labels?: Record<string, string> };
  dname?: string;
  tags?: Record<string, string>;
  extra?: Record<string, string>;
}

/** `['drop']`, `['tag', KEY, VALUE]`, `['set', FIELD, TEXT]` or `['line', TEXT]`. */
export type Action = string[];

export class Harness {
  /** Creates the plugin. Throws the error of `init`. `tables` are granted tables: `{ country: { '192.0.2.1': 'FR' } }`. */
  constructor(plugin: Component, config?: Record<string, unknown>, granted?: { tables?: Record<string, Record<string, string>> });
  /** The result of `init`: what the plugin requests. */
  readonly setup: { needs: Record<string, boolean>; when?: string; kinds: Uint8Array };
  /** Logged messages: level and text. */
  readonly logged: [number, string][];
  readonly counters: Record<string, bigint>;
  readonly kv: Map<string, string>;
  event(event?: TestEvent): Action[];
  batch(events: readonly TestEvent[]): Action[][];
  tick(nowNs?: bigint): { name: string; fields: [string, string][] }[];
  stop(nowNs?: bigint): { name: string; fields: [string, string][] }[];
}

/** The actions of a verdict in the form that `Harness.event` returns; for comparisons. */
export function actions(verdict: Verdict): Action[];
/** The actions that `Harness.event` returns for a dropped event. */
export const dropped: Action[];

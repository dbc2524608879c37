/** Runs a plugin under node, without WebAssembly, for its tests. */
import type { Component, Container, Ip, Process, Report, Verdict } from './lightmon.js';

/** An event for a test; what is left out has a default. */
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
  /** Throws what `init` refuses to start with. `tables` are those that are granted: `{ country: { '192.0.2.1': 'FR' } }`. */
  constructor(plugin: Component, config?: Record<string, unknown>, granted?: { tables?: Record<string, Record<string, string>> });
  /** What `init` has asked for. */
  readonly setup: { needs: Record<string, boolean>; when?: string; kinds: Uint8Array };
  /** Level and text. */
  readonly logged: [number, string][];
  readonly counters: Record<string, bigint>;
  readonly kv: Map<string, string>;
  event(event?: TestEvent): Action[];
  batch(events: readonly TestEvent[]): Action[][];
  tick(nowNs?: bigint): { name: string; fields: [string, string][] }[];
  stop(nowNs?: bigint): { name: string; fields: [string, string][] }[];
}

/** The actions of a verdict as `Harness.event` gives them, to compare with. */
export function actions(verdict: Verdict): Action[];
/** What `Harness.event` gives for an event that is dropped. */
export const dropped: Action[];

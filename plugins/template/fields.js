// The placeholders of a template: how each is read from an event, and which field the plugin must request for it. Returns
// numbers, texts, lists and maps, and undefined for unknown values. template.js formats the values.
import { outcomeWord, protocolWord } from './lightmon.js';

const endpoint = (address, port) => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`);

/** Formats nanoseconds since 1970-01-01 UTC as `2026-11-23T15:04:00.123456789Z`. */
function time(nanoseconds) {
  const milliseconds = new Date(Number(nanoseconds / 1_000_000n)).toISOString();
  return `${milliseconds.slice(0, 20)}${String(nanoseconds % 1_000_000_000n).padStart(9, '0')}Z`;
}

// An empty name means not known.
const named = (text) => text || undefined;
const always = (read) => ({ read });
const needs = (field, read) => ({ needs: field, read });

export const FIELDS = {
  time: always((event) => time(event.timeNs)),
  time_ns: always((event) => event.timeNs),
  latency_ms: always(({ latencyNs }) => latencyNs === undefined ? undefined : Number(latencyNs / 1000n) / 1000),
  latency_ns: always((event) => event.latencyNs),
  source: always((event) => endpoint(event.source, event.sourcePort)),
  source_ip: always((event) => event.source),
  source_port: always((event) => event.sourcePort),
  destination: always((event) => endpoint(event.destination, event.destinationPort)),
  destination_ip: always((event) => event.destination),
  destination_port: always((event) => event.destinationPort),
  protocol: always((event) => protocolWord(event.protocol)),
  outcome: always((event) => outcomeWord(event.outcome)),
  errno: always((event) => event.errno || undefined),
  pid: always((event) => event.pid),
  tid: always((event) => event.tid),
  uid: always((event) => event.uid),
  gid: always((event) => event.gid),
  user: needs('process', (event) => named(event.process?.user)),
  comm: needs('process', (event) => event.process?.comm),
  path: needs('process', (event) => event.process?.path),
  args: needs('args', (event) => event.process?.args),
  parent: needs('parents', (event) => event.process?.parents?.[0]?.comm),
  parent_pid: needs('parents', (event) => event.process?.parents?.[0]?.pid),
  container: needs('container', ({ container }) => container && (named(container.name) ?? container.id.slice(0, 12))),
  container_id: needs('container', (event) => event.container?.id),
  image: needs('container', (event) => named(event.container?.image)),
  dname: needs('dname', (event) => event.dname),
  labels: needs('labels', (event) => event.labels),
  tags: needs('tags', (event) => event.tags),
};

/** Placeholders with a key: `{tag:country}`. */
export const KEYED = {
  label: (key) => needs('labels', (event) => event.labels[key]),
  tag: (key) => needs('tags', (event) => event.tags[key]),
  extra: (key) => needs('extra', (event) => event.extra[key]),
};

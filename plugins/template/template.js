// Parses a template once and formats events with it. fields.js defines the placeholders.
import { cut } from './lightmon.js';
import { FIELDS, KEYED } from './fields.js';

/** Maximum bytes of one value. A command line may be longer than the output line may be. */
const MAX_VALUE_BYTES = 4000;

/** Parses a template such as `{time} {json:args} {{literal}}`. Throws if it is invalid. */
export function parse(text) {
  const parts = [];
  const needs = new Set();
  let literal = '';
  let at = 0;
  while (at < text.length) {
    const c = text[at];
    if ((c === '{' || c === '}') && text[at + 1] === c) {
      literal += c;
      at += 2;
    } else if (c === '{') {
      const end = text.indexOf('}', at);
      if (end < 0) throw new Error(`\`${text.slice(at)}\` has no closing brace: write a placeholder as {NAME}, a brace as {{`);
      const part = placeholder(text.slice(at + 1, end));
      if (part.needs) needs.add(part.needs);
      parts.push(literal, part);
      literal = '';
      at = end + 1;
    } else if (c === '}') {
      throw new Error(`unmatched } before \`${text.slice(at + 1)}\`: write a brace as }}`);
    } else {
      literal += c;
      at += 1;
    }
  }
  if (parts.length === 0) throw new Error('no placeholder, so that all lines would be the same');
  parts.push(literal);
  return { parts, needs: [...needs] };
}

/** Formats the line of an event. */
export function write({ parts }, event, missing) {
  let line = '';
  for (const part of parts) {
    if (typeof part === 'string') line += part;
    else line += part.isJson ? json(part.read(event)) : plain(part.read(event), missing);
  }
  return line;
}

function placeholder(name) {
  const isJson = name.startsWith('json:');
  const path = isJson ? name.slice('json:'.length) : name;
  const colon = path.indexOf(':');
  const keyed = colon > 0 && Object.hasOwn(KEYED, path.slice(0, colon)) && KEYED[path.slice(0, colon)];
  if (keyed && path.length > colon + 1) return { isJson, ...keyed(path.slice(colon + 1)) };
  if (Object.hasOwn(FIELDS, path)) return { isJson, ...FIELDS[path] };
  const known = [...Object.keys(FIELDS), ...Object.keys(KEYED).map((kind) => `${kind}:KEY`)];
  throw new Error(`unknown placeholder \`{${name}}\`; expected one of ${known.join(', ')}, each also as {json:NAME}`);
}

/** Formats a value as text. Escapes line breaks and everything that a terminal would interpret. */
function plain(value, missing) {
  if (value === undefined) return missing;
  if (Array.isArray(value)) value = value.join(' ');
  else if (typeof value === 'object') value = Object.entries(value).map(([key, text]) => `${key}=${text}`).join(' ');
  return escaped(cut(String(value), MAX_VALUE_BYTES), (code) => `\\u{${code.toString(16)}}`) || missing;
}

function json(value) {
  if (value === undefined) return 'null';
  if (typeof value === 'bigint') return String(value);
  let left = MAX_VALUE_BYTES;
  // All texts of a list or map share the limit; later texts are truncated.
  const fitting = (text) => {
    const short = cut(text, left);
    left -= short.length;
    return short;
  };
  if (Array.isArray(value)) value = value.map(fitting);
  else if (typeof value === 'object') value = Object.fromEntries(Object.entries(value).map(([key, text]) => [key, fitting(text)]));
  else if (typeof value === 'string') value = fitting(value);
  return escaped(JSON.stringify(value), (code) =>
    [...String.fromCodePoint(code)].flatMap((c) => Array.from({ length: c.length }, (_, i) => `\\u${c.charCodeAt(i).toString(16).padStart(4, '0')}`)).join(''),
  );
}

// Control characters, line separators, direction marks and invisible characters. The engine does not support \p{…}.
const UNSAFE =
  /[\0-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

const escaped = (text, how) => text.replace(UNSAFE, (c) => how(c.codePointAt(0)));

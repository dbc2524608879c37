// Makes the component: `npm run build -- OUT`. Bundles plugin.ts or plugin.js with the helper into one module, then
// gives it to componentize-js, which adds the JavaScript engine.
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';
import { build } from 'esbuild';

const out = process.argv[2];
if (!out) {
  console.error('usage: npm run build -- OUT.wasm');
  process.exit(2);
}
const plugin = ['./plugin.ts', './plugin.js'].find((file) => existsSync(file));
if (!plugin) {
  console.error('no plugin.js or plugin.ts in this folder: run this in the project of the plugin');
  process.exit(2);
}
const manifest = existsSync('plugin.json') ? JSON.parse(readFileSync('plugin.json', 'utf8')) : {};
const worldName = manifest.world ?? 'plugin';

// Exports that the world lacks are errors, so the world decides on them.
const optional = worldName === 'complete-plugin' ? ', tick, stop' : '';
const entry = `
  import { log } from 'lightmon:plugin/log@0.1.0';
  import * as counter from 'lightmon:plugin/counter@0.1.0';
  import * as kv from 'lightmon:plugin/kv@0.1.0';
  import * as tables from 'lightmon:plugin/tables@0.1.0';
  import { connect } from './lightmon.js';
  import plugin from '${plugin}';
  connect({ log, counter, kv, tables });
  export const { filter${optional} } = plugin;
`;
const { outputFiles } = await build({
  stdin: { contents: entry, resolveDir: process.cwd(), sourcefile: 'entry.js' },
  bundle: true,
  format: 'esm',
  target: 'es2022',
  external: ['lightmon:*'],
  write: false,
  logLevel: 'warning',
});
const { component } = await componentize(outputFiles[0].text, {
  witPath: 'wit',
  worldName,
  // A plugin reaches nothing but lightmon: without these, nothing of WASI is imported.
  disableFeatures: ['random', 'stdio', 'clocks', 'http', 'fetch-event'],
});
await writeFile(out, component);

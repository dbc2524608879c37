// Builds the component: `npm run build -- OUT`. Bundles plugin.ts or plugin.js and the SDK into one module. componentize-js
// then adds the JavaScript engine.
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

// An export that the world does not have is an error, so export `tick` and `stop` only if the world has them.
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
  // A plugin may use only lightmon's functions. Without these features, the component imports nothing of WASI.
  disableFeatures: ['random', 'stdio', 'clocks', 'http', 'fetch-event'],
});
await writeFile(out, component);

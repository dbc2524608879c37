// Tags slow connections and drops DNS queries.
import { definePlugin, drop, keep, setting, settings } from './lightmon.js';

export default definePlugin({
  over: 0n,

  // The settings: `--plugin {{name}}.wasm:over=250`.
  init(config) {
    const { over } = settings(config, { over: setting.number(100) });
    if (!Number.isInteger(over) || over < 0) throw new Error(`setting \`over\`: expected milliseconds, not ${over}`);
    this.over = BigInt(over);
  },

  // The optional fields that the plugin requests: ['process', 'container', …].
  needs: [],

  event(event) {
    if (event.destinationPort === 53) return drop();
    if (event.latencyNs === undefined) return keep();
    const milliseconds = event.latencyNs / 1_000_000n;
    return milliseconds >= this.over ? keep().tag('slow', `${milliseconds} ms`) : keep();
  },
});

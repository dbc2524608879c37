// Formats each connection as a line by the user's template.
import { definePlugin, keep, setting, settings } from './lightmon.js';
import { parse, write } from './template.js';

export default definePlugin({
  init(config) {
    const { template, missing } = settings(config, { template: setting.text(), missing: setting.text('-') });
    if (!template) throw new Error('no template: give one as `template`, such as "{time} {comm} -> {destination} {outcome}"');
    try {
      this.template = parse(template);
    } catch (error) {
      throw new Error(`setting \`template\`: ${error.message}`);
    }
    this.missing = missing;
  },

  needs() {
    return this.template.needs;
  },

  event(event) {
    return keep().line(write(this.template, event, this.missing));
  },
});

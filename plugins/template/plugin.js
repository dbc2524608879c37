// Writes each connection as a line in the format of the user's template.
import { definePlugin, keep, setting, settings } from './lightmon.js';
import { parse, write } from './template.js';

export default definePlugin({
  init(config) {
    const { template, missing } = settings(config, { template: setting.text(), missing: setting.text('-') });
    if (!template) throw new Error('setting `template`: missing; set it, for example, to "{time} {comm} -> {destination} {outcome}"');
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

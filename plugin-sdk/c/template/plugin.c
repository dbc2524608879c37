/* Tags slow connections and drops DNS queries. */
#include "lightmon/lightmon.h"

static uint64_t over_ms = 100;

static lm_setup init(lm_text settings) {
    lm_setting setting;
    while (lm_next_setting(&settings, &setting)) {
        if (!lm_equal(setting.key, LM("over")))
            return lm_unknown(&setting);
        if (!lm_setting_u64(&setting, &over_ms) || over_ms > 3600 * 1000)
            return lm_bad(&setting, LM("milliseconds, up to an hour"));
    }
    return (lm_setup){.needs = LM_PROCESS};
}

static void event(const lm_event *event, lm_verdict *verdict) {
    if (event->destination_port == 53) {
        lm_drop(verdict);
        return;
    }
    if (!event->latency_ns.some || event->latency_ns.value <= over_ms * 1000000)
        return;
    lm_builder text = {0};
    lm_put(&text, event->process->comm);
    lm_put(&text, LM(" waited "));
    lm_put_u64(&text, event->latency_ns.value / 1000000);
    lm_put(&text, LM(" ms"));
    lm_tag(verdict, LM("slow"), text.text);
}

LM_FILTER(init, event)

/* The conformance plugin in C. plugin-sdk/conformance/README.md specifies its behaviour. */
#include "lightmon/lightmon.h"

static uint64_t drop_port = 53;
static lm_text greeting = LM("hello");
static bool has_table;
static uint32_t table;

static lm_setup init(lm_text settings) {
    lm_text when = {0}, name = {0};
    lm_setting setting;
    while (lm_next_setting(&settings, &setting)) {
        if (lm_equal(setting.key, LM("drop_port"))) {
            if (!lm_setting_u64(&setting, &drop_port))
                return lm_bad(&setting, LM("a number"));
        } else if (lm_equal(setting.key, LM("greeting"))) {
            greeting = lm_keep_text(setting.value);
        } else if (lm_equal(setting.key, LM("when"))) {
            when = setting.value;
        } else if (lm_equal(setting.key, LM("table"))) {
            name = setting.value;
            has_table = true;
        } else {
            return lm_unknown(&setting);
        }
    }
    lm_text error;
    if (has_table && !lm_table_open(name, LM("name"), &table, &error))
        return lm_fail(error);
    lm_log(LM_INFO, LM("conformance started"));
    return (lm_setup){
        .needs = LM_PROCESS | LM_ARGS | LM_PARENTS | LM_CONTAINER | LM_LABELS | LM_TAGS | LM_DNAME | LM_EXTRA,
        .when = when,
    };
}

static void tag(lm_verdict *verdict, lm_text key, lm_text value) { lm_tag(verdict, key, lm_cut(value, 100)); }

static lm_text number(uint64_t number) {
    lm_builder text = {0};
    lm_put_u64(&text, number);
    return text.text;
}

static lm_text address(lm_ip ip, uint16_t port) {
    lm_builder text = {0};
    lm_put_address(&text, ip, port);
    return text.text;
}

/* Joins texts with `separator` between them. */
static lm_text join(lm_text separator, const lm_text *parts, uint32_t len) {
    lm_builder text = {0};
    for (uint32_t i = 0; i < len; i++) {
        if (i)
            lm_put(&text, separator);
        lm_put(&text, parts[i]);
    }
    return text.text;
}
#define JOIN(separator, ...)                                                                                           \
    join(LM(separator), (lm_text[]){__VA_ARGS__}, sizeof((lm_text[]){__VA_ARGS__}) / sizeof(lm_text))

static void tag_process(const lm_process *process, lm_verdict *verdict) {
    lm_text path = process->path.some ? process->path.value : LM("-");
    tag(verdict, LM("who"), JOIN(" ", process->user, process->comm, path));
    lm_text args = LM("-"), parent = LM("-");
    if (process->args.some) {
        uint32_t len = process->args.len;
        args = JOIN(" ", number(len), len ? process->args.list[len - 1] : LM(""));
    }
    tag(verdict, LM("args"), args);
    if (process->parents.some && process->parents.len)
        parent = JOIN(" ", number(process->parents.list[0].pid), process->parents.list[0].comm);
    tag(verdict, LM("parent"), parent);
}

static void tag_container(const lm_container *container, lm_verdict *verdict) {
    lm_text text = LM("-"), label = LM("-");
    if (container) {
        text = JOIN(" ", container->id, container->name, container->image);
        const lm_text *team = lm_find(&container->labels, LM("team"));
        if (team)
            label = *team;
    }
    tag(verdict, LM("container"), text);
    tag(verdict, LM("label"), label);
}

static void event(const lm_event *event, lm_verdict *verdict) {
    if (event->destination_port == drop_port) {
        lm_drop(verdict);
        return;
    }
    tag(verdict, LM("dst"), address(event->destination, event->destination_port));
    tag(verdict, LM("src"), address(event->source, event->source_port));
    tag(verdict, LM("time"), number(event->time_ns));
    tag(verdict, LM("latency"), event->latency_ns.some ? number(event->latency_ns.value) : LM("-"));
    tag(verdict, LM("ids"), JOIN("/", number(event->pid), number(event->tid), number(event->uid), number(event->gid)));
    tag_process(event->process, verdict);
    tag_container(event->container, verdict);
    tag(verdict, LM("earlier"), number(event->tags.some ? event->tags.len : 0));
    tag(verdict, LM("outcome"), JOIN(" ", number(event->outcome), lm_outcome_word(event->outcome)));
    tag(verdict, LM("protocol"), lm_protocol_word(event->protocol));
    tag(verdict, LM("errno"), number(event->error));
    if (has_table) {
        const lm_maybe_text *entry = lm_table_ips(table, &event->destination, 1);
        tag(verdict, LM("table"), entry->some ? entry->value : LM("-"));
    }
    if (event->process->args.some && event->process->args.len > 1)
        lm_set(verdict, LM("args/1"), LM("***"));
    if (event->destination_port == 514)
        lm_line(verdict, JOIN(" ", greeting, event->process->comm));
}

static void batch(const lm_batch *batch) {
    for (uint32_t i = 0; i < batch->len; i++)
        event(&batch->events[i], lm_verdict_of(i));
    lm_count(LM("events"), batch->len);
    lm_text value;
    uint64_t sum = 0;
    if (lm_kv_get(LM("events"), &value))
        lm_to_u64(value, &sum);
    lm_kv_set(LM("events"), number(sum + batch->len));
}

static void report(lm_reports *reports, lm_text name) {
    lm_text value = LM("0");
    lm_kv_get(LM("events"), &value);
    lm_report(reports, name);
    lm_field(reports, LM("events"), value);
}

static void tick(uint64_t now_ns, lm_reports *reports) {
    (void)now_ns;
    report(reports, LM("seen"));
}

static void stop(uint64_t now_ns, lm_reports *reports) {
    (void)now_ns;
    report(reports, LM("total"));
}

LM_FILTER_BATCH(init, batch)
LM_TICK(1000, tick)
LM_STOP(stop)

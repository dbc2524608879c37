/* lightmon plugins in C, without a libc: this header and the source files beside it. Needs clang (from 14 on) with wasm-ld.
 *
 *     #include "lightmon/lightmon.h"
 *
 *     static lm_setup init(lm_text settings) {
 *         lm_setting setting;
 *         while (lm_next_setting(&settings, &setting))
 *             return lm_unknown(&setting);
 *         return (lm_setup){.needs = LM_PROCESS};
 *     }
 *
 *     static void event(const lm_event *event, lm_verdict *verdict) {
 *         if (event->destination_port == 53)
 *             lm_drop(verdict);
 *         else
 *             lm_tag(verdict, LM("by"), event->process->comm);
 *     }
 *
 *     LM_FILTER(init, event)
 *
 * A text is a pointer and a length, UTF-8 without a NUL at its end. What the host gives, and what lm_alloc, lm_put and the
 * look-ups make, lives until the call ends: nothing has to be freed. What is to live longer goes into lm_keep or a static.
 *
 * The records are those of wit/v0.1/plugin.wit as the component model's canonical ABI lays them out in wasm32's memory, so
 * nothing is copied or converted; lightmon.c checks the sizes. */
#ifndef LIGHTMON_H
#define LIGHTMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As in string.h. */
void *memcpy(void *restrict to, const void *restrict from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *one, const void *other, size_t len);

/* Texts */

typedef struct {
    const char *ptr;
    uint32_t len;
} lm_text;

/* A text from a literal: LM("service"). */
#define LM(literal) ((lm_text){"" literal, sizeof(literal) - 1})

lm_text lm_from_c(const char *text); /* of a text that ends with NUL */
bool lm_equal(lm_text a, lm_text b);
bool lm_starts_with(lm_text text, lm_text start);
bool lm_ends_with(lm_text text, lm_text end);
/* The part before `separator`, which is taken off `rest`; all of it when there is none. False when `rest` is empty. */
bool lm_split(lm_text *rest, char separator, lm_text *part);
/* At most `bytes` of it, and whole characters only. */
lm_text lm_cut(lm_text text, uint32_t bytes);
/* A decimal number; false for anything else, and for one above UINT64_MAX. */
bool lm_to_u64(lm_text text, uint64_t *number);

/* Memory */

/* Zeroed memory that is there until the call ends, or for ever. A plugin that is out of memory ends (the host starts it again). */
void *lm_alloc(size_t size);
void *lm_keep(size_t size);
lm_text lm_keep_text(lm_text text);

/* A text in the making, which grows as it must: lm_builder b = {0}; lm_put(&b, …); use b.text. */
typedef struct {
    lm_text text;
    uint32_t room;
} lm_builder;

void lm_put(lm_builder *builder, lm_text text);
void lm_put_u64(lm_builder *builder, uint64_t number);

/* Events */

/* 128 bits of an address. An IPv4 address is IPv4-mapped, and so is an IPv4-mapped IPv6 address. */
typedef struct {
    uint64_t hi, lo;
} lm_ip;

bool lm_is_v4(lm_ip ip);
uint32_t lm_v4(lm_ip ip); /* 192.0.2.1 is 0xc0000201 */
/* 192.0.2.1; IPv6 as RFC 5952 wants it: 2001:db8::1. */
void lm_put_ip(lm_builder *builder, lm_ip ip);
/* 192.0.2.1:443, [2001:db8::1]:443 */
void lm_put_address(lm_builder *builder, lm_ip ip, uint16_t port);

typedef struct {
    lm_text key, value;
} lm_pair;

/* What may be missing has `some`; `value`, `list` and `len` are for when it is true. */
typedef struct {
    uint8_t some;
    lm_text value;
} lm_maybe_text;

typedef struct {
    uint8_t some;
    uint64_t value;
} lm_maybe_u64;

typedef struct {
    uint8_t some;
    const lm_text *list;
    uint32_t len;
} lm_maybe_texts;

typedef struct {
    uint8_t some;
    const lm_pair *list;
    uint32_t len;
} lm_maybe_pairs;

/* The value of that key; NULL when it is not there. */
const lm_text *lm_find(const lm_maybe_pairs *pairs, lm_text key);

typedef struct {
    uint32_t pid;
    lm_text comm;
    lm_maybe_text path;
} lm_parent;

typedef struct {
    uint8_t some;
    const lm_parent *list;
    uint32_t len;
} lm_maybe_parents;

typedef struct {
    lm_text user; /* empty when the uid has no name */
    lm_text comm;
    lm_maybe_text path;
    lm_maybe_texts args;      /* LM_ARGS */
    lm_maybe_parents parents; /* LM_PARENTS; the nearest first */
} lm_process;

typedef struct {
    lm_text id, name, image; /* name and image are empty when no runtime has told them */
    lm_maybe_pairs labels;   /* LM_LABELS */
} lm_container;

typedef struct {
    uint64_t time_ns; /* since 1970-01-01 UTC, when the connection was begun */
    lm_maybe_u64 latency_ns;
    lm_ip source, destination;
    uint32_t pid, tid, uid, gid;
    /* NULL when they were not asked for, and a container also when there is none. Events that share one have the same index. */
    const lm_process *process;
    uint32_t process_index;
    const lm_container *container;
    uint32_t container_index;
    lm_maybe_text dname;  /* LM_DNAME: the name that the destination was looked up by */
    lm_maybe_pairs tags;  /* LM_TAGS: what earlier plugins have tagged */
    lm_maybe_pairs extra; /* LM_EXTRA: what came after this version, such as `pod.name`; plugin.wit has all keys */
    uint16_t source_port, destination_port;
    uint16_t error; /* 0, or the errno that the connection ended with (Linux numbers) */
    uint8_t kind;   /* 1 connection; more may come */
    uint8_t protocol;
    uint8_t outcome;
} lm_event;

enum { LM_TCP = 6, LM_UDP = 17 };

enum {
    LM_ESTABLISHED = 1,
    LM_CONNECTED,
    LM_REFUSED,
    LM_RESET,
    LM_TIMED_OUT,
    LM_UNREACHABLE,
    LM_DENIED,
    LM_ADDRESS_UNAVAILABLE,
    LM_ABORTED,
    LM_FAILED,
    LM_PENDING,
    LM_SENT,
};

/* `timed-out`; `unknown` for a number that this version doesn't know. */
lm_text lm_outcome_word(uint8_t outcome);
/* `tcp`, `udp`, or the number. */
lm_text lm_protocol_word(uint8_t protocol);

/* Settings */

typedef enum { LM_IS_TEXT, LM_IS_NUMBER, LM_IS_BOOL, LM_IS_NULL, LM_IS_LIST, LM_IS_OBJECT } lm_kind;

typedef struct {
    lm_text key;
    lm_kind kind;
    lm_text value; /* a text without its quotes and escapes; of the others the JSON */
} lm_setting;

/* Takes the next setting off `settings`, the JSON object that init gets; false at the end. */
bool lm_next_setting(lm_text *settings, lm_setting *setting);
/* The value as a number or as yes and no. From the command line both come as text, and are read likewise. */
bool lm_setting_u64(const lm_setting *setting, uint64_t *number);
bool lm_setting_bool(const lm_setting *setting, bool *yes);
/* Takes the next item off a list of texts, which is ["a", "b"] in the configuration file and a+b on the command line. */
bool lm_next_item(lm_setting *list, lm_text *item);

/* What a plugin wants, or why it can't start. */
typedef struct {
    uint32_t needs;    /* LM_PROCESS | … */
    lm_text when;      /* an expression in lightmon's exclude language; only events that match it come. Empty: all */
    lm_text error;     /* not empty: init fails with this text */
    const uint8_t *kinds; /* NULL: connections only */
    uint32_t kinds_len;
} lm_setup;

enum {
    LM_PROCESS = 1,    /* event->process, with user, comm and path */
    LM_ARGS = 2,       /* process->args */
    LM_PARENTS = 4,    /* process->parents */
    LM_CONTAINER = 8,  /* event->container, with id, name and image */
    LM_LABELS = 16,    /* container->labels */
    LM_TAGS = 32,      /* event->tags */
    LM_DNAME = 64,     /* event->dname */
    LM_EXTRA = 128,    /* event->extra */
};

lm_setup lm_fail(lm_text error);
lm_setup lm_unknown(const lm_setting *setting);              /* unknown setting `KEY` */
lm_setup lm_bad(const lm_setting *setting, lm_text expected); /* setting `KEY`: expected … */

/* Verdicts. What is not said anything of passes unchanged. */

typedef struct lm_verdict lm_verdict;

void lm_drop(lm_verdict *verdict);
void lm_tag(lm_verdict *verdict, lm_text key, lm_text value);
/* `user`, `comm`, `path`, `args/N`, `container`, `image`, `labels/KEY`, `tags/KEY` */
void lm_set(lm_verdict *verdict, lm_text field, lm_text text);
void lm_line(lm_verdict *verdict, lm_text text);

/* Reports, of tick and stop */

typedef struct lm_reports lm_reports;

/* Begins a report; the fields that follow belong to it. */
void lm_report(lm_reports *reports, lm_text name);
void lm_field(lm_reports *reports, lm_text key, lm_text value);

/* What the host offers. What is not used is not imported. */

enum { LM_ERROR = 1, LM_WARNING, LM_INFO, LM_DEBUG };

void lm_log(uint8_t level, lm_text text);
void lm_count(lm_text counter, uint64_t delta);
bool lm_kv_get(lm_text key, lm_text *value);
bool lm_kv_set(lm_text key, lm_text value); /* false when there is no room */
void lm_kv_delete(lm_text key);
/* A table that the user has granted; an empty column is all of them, as JSON. False: `error` says why. */
bool lm_table_open(lm_text name, lm_text column, uint32_t *table, lm_text *error);
/* One entry for each address or name. One call for a whole batch is cheaper than many. */
const lm_maybe_text *lm_table_ips(uint32_t table, const lm_ip *addresses, uint32_t len);
const lm_maybe_text *lm_table_names(uint32_t table, const lm_text *names, uint32_t len);

/* What a plugin is made of: one of the LM_FILTER, and LM_TICK and LM_STOP if it likes. At the end of a file, without `;`. */

typedef struct {
    const lm_event *events;
    uint32_t len;
} lm_batch;

/* The verdict on the event of that place in the batch. */
lm_verdict *lm_verdict_of(uint32_t event);

/* `event` is called for each event: void event(const lm_event *event, lm_verdict *verdict). */
#define LM_FILTER(init, event)                                                                                         \
    static void lm_each_(const lm_batch *batch) {                                                                      \
        for (uint32_t i = 0; i < batch->len; i++)                                                                      \
            event(&batch->events[i], lm_verdict_of(i));                                                                \
    }                                                                                                                  \
    LM_FILTER_BATCH(init, lm_each_)

/* `batch` is called for each batch: void batch(const lm_batch *batch). */
#define LM_FILTER_BATCH(init, batch)                                                                                   \
    lm_setup lm_init_(lm_text settings) { return init(settings); }                                                     \
    void lm_batch_(const lm_batch *events) { batch(events); }

/* `tick` is called every `period` milliseconds, an expression: void tick(uint64_t now_ns, lm_reports *reports). */
#define LM_TICK(period, tick)                                                                                          \
    LM_EXPORT_("lightmon:plugin/tick@0.1.0#period") uint32_t lm_export_period_(void) { return (period); }             \
    LM_EXPORT_("lightmon:plugin/tick@0.1.0#tick") void *lm_export_tick_(uint64_t now_ns) {                             \
        return lm_reported_(tick, now_ns);                                                                             \
    }                                                                                                                  \
    LM_EXPORT_("cabi_post_lightmon:plugin/tick@0.1.0#tick") void lm_export_post_tick_(void *answer) {                  \
        lm_call_ends_(answer);                                                                                         \
    }

/* `stop` is called at the end: void stop(uint64_t now_ns, lm_reports *reports). */
#define LM_STOP(stop)                                                                                                  \
    LM_EXPORT_("lightmon:plugin/stop@0.1.0#stop") void *lm_export_stop_(uint64_t now_ns) {                             \
        return lm_reported_(stop, now_ns);                                                                             \
    }                                                                                                                  \
    LM_EXPORT_("cabi_post_lightmon:plugin/stop@0.1.0#stop") void lm_export_post_stop_(void *answer) {                  \
        lm_call_ends_(answer);                                                                                         \
    }

/* For the macros above. */
#define LM_EXPORT_(name) __attribute__((export_name(name)))
lm_setup lm_init_(lm_text settings);
void lm_batch_(const lm_batch *batch);
void *lm_reported_(void (*author)(uint64_t now_ns, lm_reports *reports), uint64_t now_ns);
void lm_call_ends_(void *answer);

#endif

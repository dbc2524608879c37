/* Tags each connection with the name of the service that usually uses the destination port. */
#include "lightmon/lightmon.h"
#include "names.h"

typedef struct extra {
    const struct extra *next;
    uint16_t port;
    lm_text name;
} extra;

static const extra *extras;
static lm_text tag = LM("service");

/* Reads an item of the setting `extra`, such as 8080:web. */
static bool read_extra(lm_text item) {
    lm_text port;
    uint64_t number;
    if (!lm_split(&item, ':', &port) || !lm_to_u64(port, &number) || number > UINT16_MAX || !item.len)
        return false;
    extra *new = lm_keep(sizeof *new);
    *new = (extra){extras, (uint16_t)number, lm_keep_text(item)};
    extras = new;
    return true;
}

static lm_setup init(lm_text settings) {
    lm_setting setting;
    while (lm_next_setting(&settings, &setting)) {
        if (lm_equal(setting.key, LM("extra"))) {
            const lm_setting whole = setting;
            if (setting.kind != LM_IS_TEXT && setting.kind != LM_IS_LIST)
                return lm_bad(&whole, LM("PORT:NAME+PORT:NAME… or a list of PORT:NAME"));
            lm_text item;
            while (lm_next_item(&setting, &item))
                if (!read_extra(item))
                    return lm_bad(&whole, LM("PORT:NAME, such as 8080:web"));
        } else if (lm_equal(setting.key, LM("tag"))) {
            if (setting.kind != LM_IS_TEXT || !setting.value.len)
                return lm_bad(&setting, LM("a text"));
            tag = lm_keep_text(setting.value);
        } else {
            return lm_unknown(&setting);
        }
    }
    return (lm_setup){0};
}

/* The name of a port for the protocol; NULL if there is none. A port may have several neighbouring entries. */
static const char *find_name(uint16_t port, uint8_t protocol) {
    uint8_t transport = protocol == LM_TCP ? 1 : protocol == LM_UDP ? 2 : 0;
    unsigned low = 0, high = service_names_len;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (service_names[middle].port < port)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < service_names_len && service_names[low].port == port; low++)
        if (service_names[low].transports & transport)
            return service_names[low].name;
    return NULL;
}

static void event(const lm_event *event, lm_verdict *verdict) {
    for (const extra *item = extras; item; item = item->next)
        if (item->port == event->destination_port) {
            lm_tag(verdict, tag, item->name);
            return;
        }
    const char *name = find_name(event->destination_port, event->protocol);
    if (name)
        lm_tag(verdict, tag, lm_from_c(name));
}

LM_FILTER(init, event)

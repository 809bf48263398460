/* Any bytes through softswitch/sip/native/plain.c, in a block of just their size: it reads nothing outside, and every
 * span that it gives lies inside. For libFuzzer; with -DALONE a program that plays the inputs of standard input, each
 * behind its length (32 bits). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../softswitch/sip/native/plain.h"

static struct span whole;

static void inside(struct span span)
{
    if (span.size > whole.size || span.at < whole.at || span.at + span.size > whole.at + whole.size)
        abort();
}

static void look_at_params(struct span params)
{
    struct span name, value;
    inside(params);
    while (plain_param(&params, &name, &value)) {
        inside(name);
        if (!name.size)
            abort(); /* and it would never end */
        if (value.at)
            inside(value);
    }
}

/* As any header: a value may stand behind any name. */
static void look_at(struct span text)
{
    struct plain_via via;
    struct plain_address address;
    struct span method;
    uint32_t number;
    inside(text);
    if (plain_via(text, &via)) {
        inside(via.transport);
        inside(via.host);
        look_at_params(via.params);
    }
    if (plain_address(text, &address)) {
        inside(address.display);
        inside(address.uri);
        look_at_params(address.params);
    }
    if (plain_cseq(text, &number, &method))
        inside(method);
    if (plain_number(text, 255, &number) && number > 255)
        abort();
    plain_word(text);
    plain_media_type(text);
}

static void look_at_message(struct span data)
{
    struct plain_message message;
    if (!plain_split(data, &message))
        return;
    if (message.is_request) {
        inside(message.method);
        inside(message.uri);
    } else {
        inside(message.reason);
    }
    inside(message.body);
    for (unsigned i = 0; i < message.count; i++) {
        inside(message.fields[i].name);
        look_at(message.fields[i].value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    plain_prepare();
    char *copy = malloc(size ? size : 1);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    whole = (struct span){copy, size};
    look_at_message(whole);
    look_at(whole); /* also values that no line can hold */
    free(copy);
    return 0;
}

#ifdef ALONE
int main(void)
{
    static uint8_t input[65536];
    uint32_t size;
    while (fread(&size, sizeof size, 1, stdin) == 1) {
        if (size > sizeof input || fread(input, 1, size, stdin) != size)
            return 2;
        LLVMFuzzerTestOneInput(input, size);
    }
    return 0;
}
#endif

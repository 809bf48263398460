/* See plain.h. */
#include "plain.h"

#include <string.h>

#define VERSION "SIP/2.0"
#define STRICTLY(text) (struct span){text, sizeof text - 1}

/* What a byte may be part of. */
enum {
    TOKEN = 1, /* RFC 3261 25.1 */
    HOST = 2,
    USER = 4,   /* of a number or name in a Request-URI */
    VALUE = 8,  /* of a parameter */
    LOWER = 16, /* of a media type */
    PRINTED = 32,
    URI = 64, /* between < and > */
    DISPLAY = 128,
};

static uint8_t classes[256];

static void put(uint8_t class, const char *members)
{
    for (; *members; members++)
        classes[(uint8_t)*members] |= class;
}

void plain_prepare(void)
{
    memset(classes, 0, sizeof classes);
    for (unsigned byte = 0x20; byte < 0x7f; byte++)
        classes[byte] |= PRINTED | DISPLAY | (byte > 0x20 ? VALUE | URI : 0);
    for (unsigned byte = 0; byte < 26; byte++) {
        classes['A' + byte] |= TOKEN | HOST | USER;
        classes['a' + byte] |= TOKEN | HOST | USER | LOWER;
    }
    put(TOKEN | HOST | USER | LOWER, "0123456789");
    put(TOKEN, "-.!%*_+`'~");
    put(HOST, "._-");
    put(USER, "+_.!~*'()&=$#-");
    put(LOWER, "/-+.");
    for (const char *opaque = "<>\""; *opaque; opaque++)
        classes[(uint8_t)*opaque] &= (uint8_t) ~(URI | DISPLAY | VALUE);
    for (const char *apart = ",;\\"; *apart; apart++)
        classes[(uint8_t)*apart] &= (uint8_t)~DISPLAY;
    for (const char *apart = ",;"; *apart; apart++)
        classes[(uint8_t)*apart] &= (uint8_t)~VALUE;
}

/* How many bytes from the front are of the class. */
static size_t run(struct span text, uint8_t class)
{
    size_t size = 0;
    while (size < text.size && classes[(uint8_t)text.at[size]] & class)
        size++;
    return size;
}

static bool all(struct span text, uint8_t class)
{
    return text.size && run(text, class) == text.size;
}

static void skip(struct span *text, size_t size)
{
    text->at += size;
    text->size -= size;
}

/* What stands before the first `mark`, which is dropped with it from `text`. */
static bool cut(struct span *text, char mark, struct span *before)
{
    const char *found = text->size ? memchr(text->at, mark, text->size) : NULL;
    if (!found)
        return false;
    *before = (struct span){text->at, (size_t)(found - text->at)};
    skip(text, before->size + 1);
    return true;
}

static bool begins(struct span text, struct span with)
{
    return text.size >= with.size && !memcmp(text.at, with.at, with.size);
}

bool plain_is(struct span text, const char *other)
{
    return text.size == strlen(other) && !memcmp(text.at, other, text.size);
}

bool plain_word(struct span text)
{
    return text.size && !memchr(text.at, ' ', text.size);
}

bool plain_media_type(struct span text)
{
    return all(text, LOWER);
}

bool plain_number(struct span text, uint32_t largest, uint32_t *to)
{
    uint64_t number = 0;
    if (!text.size || text.size > 10)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(text.at[i] - '0');
    }
    *to = (uint32_t)number;
    return number <= largest;
}

bool plain_cseq(struct span text, uint32_t *number, struct span *method)
{
    struct span digits;
    if (!cut(&text, ' ', &digits) || !plain_number(digits, INT32_MAX, number))
        return false;
    *method = text;
    return all(text, TOKEN);
}

/* `:port`, or nothing. */
static bool take_port(struct span *text, int *port)
{
    *port = -1;
    if (!text->size || *text->at != ':')
        return true;
    skip(text, 1);
    struct span digits = {text->at, run(*text, TOKEN)};
    uint32_t number;
    if (!plain_number(digits, UINT16_MAX, &number))
        return false;
    skip(text, digits.size);
    *port = (int)number;
    return true;
}

/* Host and port from the front; an IPv6 reference without its brackets. */
static bool take_host(struct span *text, struct span *host, int *port)
{
    *host = (struct span){text->at, run(*text, HOST)};
    if (text->size && *text->at == '[') {
        skip(text, 1);
        if (!cut(text, ']', host) || host->size != strspn(host->at, "0123456789ABCDEFabcdef:."))
            return false;
    } else {
        skip(text, host->size);
    }
    return host->size && take_port(text, port);
}

bool plain_param(struct span *params, struct span *name, struct span *value)
{
    if (!params->size)
        return false;
    skip(params, 1); /* ";" */
    *name = (struct span){params->at, run(*params, TOKEN)};
    skip(params, name->size);
    *value = (struct span){NULL, 0};
    if (params->size && *params->at == '=') {
        skip(params, 1);
        *value = (struct span){params->at, run(*params, VALUE)};
        skip(params, value->size);
    }
    return true;
}

/* Whether all of it is what plain_param can take. */
static bool are_params(struct span text)
{
    struct span name, value;
    while (text.size) {
        if (*text.at != ';' || !plain_param(&text, &name, &value) || !name.size)
            return false;
    }
    return true;
}

bool plain_via(struct span text, struct plain_via *to)
{
    if (!begins(text, STRICTLY(VERSION "/")))
        return false;
    skip(&text, sizeof VERSION);
    if (!cut(&text, ' ', &to->transport) || !all(to->transport, TOKEN))
        return false;
    for (size_t i = 0; i < to->transport.size; i++) {
        if (to->transport.at[i] >= 'a' && to->transport.at[i] <= 'z')
            return false;
    }
    if (!take_host(&text, &to->host, &to->port))
        return false;
    to->params = text;
    return are_params(text);
}

/* `scheme:rest`. */
static bool is_any_uri(struct span text)
{
    struct span scheme;
    if (!all(text, URI) || !cut(&text, ':', &scheme) || !scheme.size || !text.size)
        return false;
    if ((scheme.at[0] | 0x20) < 'a' || (scheme.at[0] | 0x20) > 'z')
        return false;
    for (size_t i = 1; i < scheme.size; i++) {
        char byte = scheme.at[i];
        if (!(classes[(uint8_t)byte] & HOST && byte != '_') && byte != '+')
            return false;
    }
    return true;
}

bool plain_address(struct span text, struct plain_address *to)
{
    to->display = (struct span){text.at, 0};
    if (text.size && *text.at == '"') {
        skip(&text, 1);
        if (!cut(&text, '"', &to->display) || memchr(to->display.at, '\\', to->display.size))
            return false;
        while (text.size && *text.at == ' ')
            skip(&text, 1);
    } else if (text.size && *text.at != '<') {
        to->display.size = run(text, DISPLAY);
        skip(&text, to->display.size);
        while (to->display.size && to->display.at[to->display.size - 1] == ' ')
            to->display.size--;
    }
    if (!text.size || *text.at != '<')
        return false;
    skip(&text, 1);
    if (!cut(&text, '>', &to->uri) || !is_any_uri(to->uri))
        return false;
    to->params = text;
    return are_params(text);
}

/* A SIP URI that uri.py takes for certain, without headers: nothing to unescape. */
static bool is_sip_uri(struct span text)
{
    struct span user, rest, host;
    int port;
    if (!begins(text, STRICTLY("sip:")) || memchr(text.at, '%', text.size) || memchr(text.at, '?', text.size))
        return false;
    skip(&text, 4);
    rest = text;
    if (cut(&rest, '@', &user)) {
        if (!all(user, USER) || (rest.size && memchr(rest.at, '@', rest.size)))
            return false;
        text = rest;
    }
    return take_host(&text, &host, &port) && are_params(text);
}

static bool split_start(struct span line, struct plain_message *to)
{
    to->is_request = !begins(line, STRICTLY(VERSION " "));
    if (to->is_request)
        return cut(&line, ' ', &to->method) && all(to->method, TOKEN) && cut(&line, ' ', &to->uri) &&
               is_sip_uri(to->uri) && plain_is(line, VERSION);
    skip(&line, sizeof VERSION);
    if (line.size < 3 || (line.size > 3 && line.at[3] != ' '))
        return false;
    uint32_t status;
    if (!plain_number((struct span){line.at, 3}, 699, &status) || status < 100)
        return false;
    to->status = status;
    skip(&line, line.size > 3 ? 4 : 3);
    to->reason = line;
    return true;
}

static bool split_field(struct span line, struct plain_field *to)
{
    if (!cut(&line, ':', &to->name) || !all(to->name, TOKEN))
        return false;
    while (line.size && *line.at == ' ')
        skip(&line, 1);
    while (line.size && line.at[line.size - 1] == ' ')
        line.size--;
    to->value = line;
    return true;
}

/* The line at the front, without its end; false where it holds what is not printable, or doesn't end. */
static bool take_line(struct span *text, struct span *line)
{
    *line = (struct span){text->at, run(*text, PRINTED)};
    if (text->size < line->size + 2 || memcmp(text->at + line->size, "\r\n", 2))
        return false;
    skip(text, line->size + 2);
    return true;
}

bool plain_split(struct span data, struct plain_message *to)
{
    struct span line;
    if (!take_line(&data, &line) || !split_start(line, to))
        return false;
    for (to->count = 0; take_line(&data, &line); to->count++) {
        if (!line.size) {
            to->body = data;
            return true;
        }
        if (to->count == PLAIN_FIELDS || !split_field(line, &to->fields[to->count]))
            return false;
    }
    return false;
}

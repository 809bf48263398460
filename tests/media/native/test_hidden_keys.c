/* Keys that begin where the other side is sent none, on hold or below a prompt, and are held until it is: RFC 4733 2.5.1.1. */
#include "steps.h"
#include "keys.h"

static void prompt(uint32_t playback, bool mix)
{
    static uint8_t samples[800];
    static const struct piece piece = {samples, sizeof samples};
    struct command play = {.type = COMMAND_PLAY, .handle = 1 << 16 | playback, .play = {&piece, 1, 0, {b}, 1, false, mix}};
    worker_obey(&worker, &play);
}

/* On hold, or where a prompt of 100 ms begins to be heard. */
static void hide(bool hold, int event_out)
{
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = b, .remote = remote_at(phone(1), PCMA, event_out)};
    configure.remote.sending = false;
    if (hold)
        worker_obey(&worker, &configure);
    else
        prompt(0, false);
}

static void unhide(bool hold, int event_out)
{
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = b, .remote = remote_at(phone(1), PCMA, event_out)};
    if (hold)
        worker_obey(&worker, &configure);
}

/* RFC 4733 2.5.1.1: its first packet has the marker, and the time when it begins, not that of the prompt's audio. */
static void check_key_that_began_hidden(bool hold, int event_out, bool talks)
{
    call(event_out, FRAME_SAMPLES);
    talk(5, 0x55);
    uint32_t began = timestamp;
    hide(hold, event_out);
    for (uint16_t part = 1; part <= 20; part++) {
        if (part == 8)
            unhide(hold, event_out);
        if (talks && part >= 8) {
            timestamp = began + (part - 1u) * FRAME_SAMPLES;
            talk(1, 0x2A);
            worker.now -= FRAME_NS;
        }
        timestamp = began;
        event_packet(5, (uint16_t)((part < 18 ? part : 18) * FRAME_SAMPLES), part > 17);
        pass_time(20);
    }
    timestamp = began + 23 * FRAME_SAMPLES;
    pass_time(60);
    CHECK(worker.keys.count == 0); /* it is no longer than it is held */
    uint32_t before = sent_count, first = find((uint8_t)event_out, 0), marks = 0;
    talk(2, 0x2A);
    uint32_t later = sent_timestamp(before) - sent_timestamp(4);
    CHECK(later >= 23 * FRAME_SAMPLES && later <= 25 * FRAME_SAMPLES);
    for (uint32_t i = first; i < before && event_out >= 0; i++) {
        if (sent_type(i) != event_out)
            continue;
        CHECK(sent_timestamp(i) == sent_timestamp(first) && sent_duration(i) <= 12 * FRAME_SAMPLES);
        marks += sent_marker(i);
    }
    CHECK(event_out < 0 ? !strcmp(heard(), "5") : marks == 1 && sent_marker(first) && sent_duration(first) == FRAME_SAMPLES);
    for (uint32_t i = 0; i < first && event_out >= 0; i++)
        CHECK((int32_t)(sent_timestamp(first) - sent_timestamp(i)) >= 0);
    check_one_line();
    finish();
}

static void test_a_key_that_began_below_a_prompt_or_on_hold_begins_for_the_other_side_where_that_ends(void)
{
    static const int events[] = {101, 96, -1};
    for (int kind = 0; kind < 12; kind++)
        check_key_that_began_hidden(kind & 1, events[kind / 4], kind & 2);
}

/* RFC 4733 2.5.1.1, as above; where the prompt is over before the key, it goes on as one. */
static void check_key_that_began_hidden_before_a_mix(bool hold, int event_out, uint16_t held, uint16_t mix_at)
{
    call(event_out, FRAME_SAMPLES);
    talk(5, 0x55);
    uint32_t first = NONE, began = timestamp, shown = held > 6 ? held - 6u : 0;
    hide(hold, event_out);
    for (uint16_t part = 1; part <= held + 2; part++) {
        if (part == 7) {
            first = sent_count;
            unhide(hold, event_out);
        }
        if (part == mix_at)
            prompt(1, true);
        event_packet(5, (uint16_t)((part < held ? part : held) * FRAME_SAMPLES), part >= held);
        pass_time(20);
    }
    pass_time(200);
    timestamp = began + (held + 14u) * FRAME_SAMPLES;
    talk(2, 0x2A);
    first = find((uint8_t)event_out, first);
    CHECK((first < sent_count) == (shown > 1));
    for (uint32_t i = first, newest = 0; i < sent_count; i++) {
        if (sent_type(i) != event_out)
            continue;
        CHECK(sent_marker(i) == (i == first) && sent_timestamp(i) == sent_timestamp(first));
        CHECK(sent_duration(i) >= newest && sent_duration(i) <= shown * FRAME_SAMPLES);
        CHECK(sent_duration(i) == shown * FRAME_SAMPLES || !sent_end(i));
        newest = sent_duration(i);
    }
    for (uint32_t i = 0; i < first && first < sent_count; i++)
        CHECK((int32_t)(sent_timestamp(first) - sent_timestamp(i)) >= 0);
    CHECK(worker.keys.count == 0);
    check_one_line();
    finish();
}

static void test_a_key_that_began_hidden_is_one_key_also_where_a_mixed_prompt_begins(void)
{
    for (int kind = 0; kind < 4; kind++)
        for (uint16_t held = 5; held < 24; held++)
            for (uint16_t mix_at = 7; mix_at < 12; mix_at++)
                check_key_that_began_hidden_before_a_mix(kind & 1, kind & 2 ? 96 : 101, held, mix_at);
}

/* Its end is told three times (2.5.1.4): the last two come when the prompt is over. */
static void test_a_key_that_is_over_before_it_would_be_heard_is_not_heard(void)
{
    for (int kind = 0; kind < 6; kind++) {
        int event_out = kind < 2 ? 101 : kind < 4 ? 96 : -1;
        call(event_out, FRAME_SAMPLES);
        talk(5, 0x55);
        hide(kind & 1, event_out);
        for (uint16_t part = 1; part <= 8; part++) {
            if (part == 7)
                unhide(kind & 1, event_out);
            event_packet(5, (uint16_t)((part < 6 ? part : 6) * FRAME_SAMPLES), part >= 6);
            pass_time(20);
        }
        pass_time(200);
        timestamp += 20 * FRAME_SAMPLES;
        talk(2, 0x2A);
        CHECK(worker.keys.count == 0 && (event_out < 0 ? !*heard() : find((uint8_t)event_out, 0) == sent_count));
        check_one_line();
        finish();
    }
}

int main(void)
{
    test_a_key_that_began_below_a_prompt_or_on_hold_begins_for_the_other_side_where_that_ends();
    test_a_key_that_began_hidden_is_one_key_also_where_a_mixed_prompt_begins();
    test_a_key_that_is_over_before_it_would_be_heard_is_not_heard();
    puts("ok");
    return 0;
}

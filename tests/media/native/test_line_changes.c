/* What a far end hears and sees when somebody else speaks to it, or the same again, at once or after a pause: all pairs of
 * talk, prompts, mixes and keys, in packets of 10 to 60 ms on either side, with and without a hold between.
 *
 * Compiled with the sanitizers and run by tests/media/native/test_core.py. What they share is in steps.h.
 */
#include "steps.h"

#define FRAMES 7 /* of a prompt: no whole number of packets of 40 or 60 ms */
#define PHASES 3
#define MS 1000000LL

/* Anna talks, or presses a key, to bert, who also hears prompts: `TALK_MIXED` and `TALK_HIDDEN` while she talks on. */
enum who { TALK, PROMPT, MIXED, TALK_MIXED, TALK_HIDDEN, KEY, WHOS };

/* One far end's lengths of packets, in samples, and how it takes keys. */
struct lengths {
    uint16_t in, out;
    int16_t event_out;
};

static const uint8_t voices[PHASES] = {0x11, 0x22, 0x33}; /* codes, that tell of each sample what it belongs to */
static uint8_t prompts[PHASES][FRAMES * FRAME_SAMPLES];
static struct piece pieces[PHASES];
static uint32_t a, b, given[PHASES], generation;
static int64_t began, talk_at, swept_at, play_at;
static bool plays_mix;
static uint16_t number;
static uint32_t talked; /* samples */
static struct lengths lengths;
static bool talks;
static uint8_t voice;

static void configure(bool sending)
{
    struct command command = {.type = COMMAND_CONFIGURE, .handle = b, .remote = remote_at(phone(1), PCMA, lengths.event_out)};
    command.remote.frame = lengths.out;
    command.remote.sending = sending;
    worker_obey(&worker, &command);
}

static void begin(struct lengths agreed)
{
    lengths = agreed;
    join(a = open_endpoint(0, PCMA, 101), b = open_endpoint(1, PCMA, 101));
    configure(true);
    worker.now += 1234567;
    began = talk_at = swept_at = worker.now;
    number = 65500;
    sent_count = 0;
    memset(given, 0, sizeof given);
}

static void end(void)
{
    worker_obey(&worker, &(struct command){.type = COMMAND_CLOSE, .handle = a});
    worker_obey(&worker, &(struct command){.type = COMMAND_CLOSE, .handle = b});
    count_events(EVENT_PLAYED);
}

static uint32_t anna_s_clock(int64_t at)
{
    return 0xFFFFF000u + (uint32_t)((at - began) / SAMPLE_NS);
}

static void talk_when_due(void)
{
    uint8_t payload[MAX_FRAME];
    for (; talks && talk_at <= worker.now; talk_at += lengths.in * SAMPLE_NS) {
        memset(payload, voice, lengths.in);
        give(0, PCMA, number++, anna_s_clock(talk_at), payload, lengths.in);
        talked += lengths.in;
    }
}

static void play_when_due(void);

static void pass_until(int64_t until)
{
    for (; worker.now < until; worker.now += TICK_NS) {
        play_when_due();
        talk_when_due();
        telephone_event_tick(&worker);
        playback_tick(&worker);
        if (worker.now - swept_at < SECOND_NS / 10)
            continue;
        swept_at = worker.now;
        endpoint_sweep(&worker, &worker.endpoints[b & 0xFFFF]);
    }
}

static void begin_talk(uint8_t code)
{
    marked = worker.now > talk_at; /* RFC 3551 4.1, by herself */
    talk_at = marked ? worker.now : talk_at;
    voice = code;
    talks = true;
}

static void play_on(int phase, bool mix)
{
    struct command command = {.type = COMMAND_PLAY, .handle = ++generation << 16 | 1};
    memset(prompts[phase], voices[phase], sizeof prompts[phase]);
    pieces[phase] = (struct piece){prompts[phase], sizeof prompts[phase]};
    command.play.pieces = &pieces[phase];
    command.play.piece_count = command.play.count = 1;
    command.play.listeners[0] = b;
    command.play.mix = mix;
    worker_obey(&worker, &command);
}

static void play_when_due(void)
{
    if (!play_at || worker.now < play_at)
        return;
    play_at = 0;
    play_on(1, plays_mix);
}

static void play(int phase, bool mix)
{
    play_on(phase, mix);
    while (worker.playing.count)
        pass_until(worker.now + TICK_NS);
    given[phase] = FRAMES * FRAME_SAMPLES;
}

/* RFC 4733 2.5.1: a packet every 20 ms, three at the end. */
static void press(uint16_t frames)
{
    uint32_t at = anna_s_clock(worker.now);
    uint8_t payload[4] = {5, 10, 0, 0};
    for (uint16_t i = 1; i <= frames + 2; i++) {
        write16(payload + 2, (uint16_t)((i < frames ? i : frames) * FRAME_SAMPLES));
        payload[1] = i < frames ? 10 : 0x8A;
        marked = i == 1;
        give(0, 101, number++, at, payload, sizeof payload);
        pass_until(worker.now + (i < frames ? FRAME_NS : 0));
    }
    talk_at = worker.now;
}

static void speak(int phase, enum who who)
{
    if (who == TALK) {
        begin_talk(voices[phase]);
        talked = 0;
        pass_until(worker.now + 240 * MS);
        talks = false;
        given[phase] = talked;
        return;
    }
    if (who == TALK_MIXED || who == TALK_HIDDEN)
        begin_talk(ALAW_SILENCE);
    if (who == KEY)
        press(5);
    else
        play(phase, who == MIXED || who == TALK_MIXED);
    talks = false;
}

static void pause_for(int64_t ms, bool hold)
{
    if (hold)
        configure(false);
    pass_until(worker.now + ms * MS);
    if (hold)
        configure(true);
}

/* What was sent to bert, seen from there */

static bool is_event(uint32_t index)
{
    return (sent[index].data[1] & 0x7F) == 101 || (sent[index].data[1] & 0x7F) == 96;
}

static uint32_t samples_of(uint32_t index)
{
    return is_event(index) ? FRAME_SAMPLES : (uint32_t)(sent[index].length - RTP_HEADER);
}

static uint32_t find_event(void)
{
    uint32_t i = 0;
    while (i < sent_count && !is_event(i))
        i++;
    return i;
}

static int phase_of(uint32_t index)
{
    for (int phase = 0; phase < PHASES; phase++)
        if (sent[index].data[RTP_HEADER + 9] == voices[phase])
            return phase;
    return sent[index].data[RTP_HEADER + 9] == ALAW_SILENCE ? -1 : -2; /* she talks on, or it is a key's tone */
}

/* By how much a packet's end is behind the line's time: the same for all of one source, of which none is early. */
static int64_t lateness(uint32_t index)
{
    return sent[index].at - began - (int32_t)(sent_timestamp(index) + samples_of(index) - sent_timestamp(0)) * SAMPLE_NS;
}

static int say(const char *what, uint32_t index, const enum who *whos, int64_t pause, bool hold)
{
    fprintf(stderr, "%s: packet %u, %d %d %d, pause %lld%s, in %u out %u event %d\n", what, index, whos[0], whos[1], whos[2],
            (long long)pause, hold ? " held" : "", lengths.in, lengths.out, lengths.event_out);
    for (uint32_t i = index > 4 ? index - 4 : 0; i < sent_count && i < index + 4; i++)
        fprintf(stderr, "   %u: at %lld ms type %u%s seq %u ts %u samples %u phase %d\n", i,
                (long long)((sent[i].at - began) / MS), sent[i].data[1] & 0x7F, sent[i].data[1] & 0x80 ? " M" : "",
                sent_sequence(i), sent_timestamp(i) - sent_timestamp(0), samples_of(i), phase_of(i));
    return 1;
}

static const enum who *whos;
static int64_t pause_ms;
static bool held;
static int64_t phase_from[PHASES + 1];

static void fail(const char *what, uint32_t index)
{
    say(what, index, whos, pause_ms, held);
    exit(1);
}
#define HOLDS(condition, index) ((condition) ? (void)0 : fail(#condition, index))

static void keep_what_bert_is_sent(void)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < sent_count; i++)
        if (sent[i].slot == 1 && !sent[i].rtcp)
            sent[kept++] = sent[i];
    sent_count = kept;
}

/* RFC 3550 5.1: numbers are contiguous, and no audio lies before or upon other audio. RFC 3551 4.1: a marker where it begins
 * behind a pause, and else only where somebody else begins.
 */
static void check_line(void)
{
    uint32_t audio = NONE;
    for (uint32_t i = 0; i < sent_count; i++) {
        bool marker = sent[i].data[1] & 0x80;
        HOLDS(i == 0 || (uint16_t)(sent_sequence(i) - sent_sequence(i - 1)) == 1, i);
        HOLDS(i > 0 || marker, i);
        if (is_event(i))
            continue;
        int32_t gap = audio == NONE ? 0 : (int32_t)(sent_timestamp(i) - sent_timestamp(audio) - samples_of(audio));
        HOLDS(gap >= 0, i);
        HOLDS(!gap || marker || is_event(i - 1), i);
        HOLDS(gap || !marker || i == 0 || is_event(i - 1) || phase_of(i) != phase_of(audio), i);
        audio = i;
    }
}

/* One press is one timestamp, marked once (RFC 4733 2.5.1.1). */
static void check_keys(void)
{
    uint32_t presses = 0, wanted = 0, newest = 0;
    for (uint32_t i = 0; i < sent_count; i++) {
        if (!is_event(i))
            continue;
        bool begins = !presses || sent_timestamp(i) != newest;
        HOLDS(begins == !!(sent[i].data[1] & 0x80), i);
        presses += begins;
        newest = sent_timestamp(i);
    }
    for (int phase = 0; phase < PHASES && lengths.event_out >= 0; phase++)
        wanted += whos[phase] == KEY;
    HOLDS(presses == wanted, sent_count - 1);
}

static void check_content(void)
{
    uint32_t got[PHASES] = {0};
    for (uint32_t i = 0; i < sent_count; i++)
        for (uint32_t n = 0; n < samples_of(i) && !is_event(i); n++)
            for (int phase = 0; phase < PHASES; phase++)
                got[phase] += sent[i].data[RTP_HEADER + n] == voices[phase];
    for (int phase = 0; phase < PHASES; phase++)
        HOLDS(got[phase] == given[phase] || whos[phase] == KEY || lengths.event_out < 0, sent_count - 1); /* a tone hides talk */
}

static void check_times(void)
{
    int64_t least[PHASES];
    for (int phase = 0; phase < PHASES; phase++) {
        least[phase] = INT64_MAX;
        for (uint32_t i = 0; i < sent_count; i++) {
            bool here = is_event(i) ? sent[i].at >= phase_from[phase] && sent[i].at < phase_from[phase + 1] : phase_of(i) == phase;
            if (here && lateness(i) < least[phase])
                least[phase] = lateness(i);
        }
        if (!phase || least[phase - 1] == INT64_MAX || least[phase] == INT64_MAX)
            continue;
        int64_t moved = (least[phase] - least[phase - 1]) / SAMPLE_NS;
        int64_t frame = lengths.in > lengths.out ? lengths.in : lengths.out, allowed = frame > 160 ? frame : 160;
        if (whos[phase] == MIXED || whos[phase] == TALK_MIXED || whos[phase - 1] == MIXED || whos[phase - 1] == TALK_MIXED)
            allowed += frame + 160;
        if (moved > allowed || moved < -allowed)
            fprintf(stderr, "moved by %lld samples between %d and %d\n", (long long)moved, phase - 1, phase);
        HOLDS(moved <= allowed && moved >= -allowed, sent_count - 1);
    }
}

static void check_change(const enum who *speak_in_turn, struct lengths agreed, int64_t ms, bool hold)
{
    whos = speak_in_turn;
    pause_ms = ms;
    held = hold;
    begin(agreed);
    for (int phase = 0; phase < PHASES; phase++) {
        phase_from[phase] = worker.now;
        speak(phase, whos[phase]);
        pause_for(ms, hold);
    }
    phase_from[PHASES] = INT64_MAX;
    pass_until(worker.now + 400 * MS);
    keep_what_bert_is_sent();
    check_line();
    check_keys();
    check_content();
    check_times();
    end();
}

static void check_all_changes(struct lengths agreed)
{
    static const int64_t pauses[] = {0, 20, 40, 1000};
    for (int one = 0; one < WHOS; one++)
        for (int other = 0; other < WHOS; other++)
            for (int pause = 0; pause < 4; pause++)
                for (int hold = 0; hold < (pause ? 2 : 1); hold++)
                    check_change((enum who[]){one, other, one}, agreed, pauses[pause], hold);
}

static void test_whoever_speaks_next_at_once_or_after_a_pause_goes_on_in_the_same_line(void)
{
    start();
    for (uint16_t in = 80; in <= MAX_FRAME; in = (uint16_t)(in + (in < 160 ? 80 : 160)))
        for (uint16_t out = 80; out <= MAX_FRAME; out = (uint16_t)(out + (out < 160 ? 80 : 160)))
            check_all_changes((struct lengths){in, out, 101});
    check_all_changes((struct lengths){160, 160, 96});
    check_all_changes((struct lengths){160, 160, -1});
    finish();
}

/* RFC 4733 2.1: a key is known by its timestamp, so it has one whatever begins or ends meanwhile. */
static void check_key_across_a_prompt(uint16_t frames, bool mix, bool talks_on, int16_t event_out)
{
    static const enum who one_key[] = {TALK, KEY, TALK};
    whos = one_key;
    begin((struct lengths){160, 160, event_out});
    begin_talk(voices[0]);
    play_at = worker.now + (200 + pause_ms % 30) * MS;
    plays_mix = mix;
    pass_until(worker.now + (100 + pause_ms) * MS);
    talks = talks_on;
    press(frames);
    begin_talk(voices[0]);
    pass_until(worker.now + 400 * MS);
    talks = false;
    keep_what_bert_is_sent();
    uint32_t first = find_event(), marks = 0;
    HOLDS(!mix || first < sent_count, sent_count - 1); /* below another prompt it is not heard */
    for (uint32_t i = first; i < sent_count; i++) {
        HOLDS(!is_event(i) || sent_timestamp(i) == sent_timestamp(first), i);
        marks += is_event(i) && sent[i].data[1] & 0x80;
    }
    HOLDS(first == sent_count || marks == 1, first);
    for (uint32_t i = 0; i < first && first < sent_count; i++) /* voice that goes on besides it may be a little ahead */
        HOLDS((int32_t)(sent_timestamp(first) - sent_timestamp(i)) >= -800, first);
    end();
}

static void test_a_key_pressed_across_either_end_of_a_prompt_is_one_key(void)
{
    start();
    for (int kind = 0; kind < 16; kind++)
        for (pause_ms = 0; pause_ms < 300; pause_ms += 10)
            check_key_across_a_prompt(kind & 8 ? 20 : 5, kind & 1, kind & 2, kind & 4 ? 96 : 101);
    finish();
}

int main(void)
{
    test_whoever_speaks_next_at_once_or_after_a_pause_goes_on_in_the_same_line();
    test_a_key_pressed_across_either_end_of_a_prompt_is_one_key();
    puts("ok");
    return 0;
}

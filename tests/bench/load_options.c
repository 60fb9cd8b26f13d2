#include "tests/bench/load_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/bench/net.h"

static const char usage[] =
    "usage: load -a ADDRESS:PORT -t TARGET [options]\n"
    "  -a ADDRESS:PORT  the server              -t TARGET  \"%\" in it stands for a number\n"
    "  -N COUNT   numbers to choose from (1)    -F FIRST   the lowest of them (0)\n"
    "  -o ORDER   random, sequence, shuffled (random); the last two ask each number once before any twice\n"
    "  -X METHOD  (GET)                         -H LINE    a field line more\n"
    "  -B TEXT    content of every request\n"
    "  -c COUNT   connections (32)              -i COUNT   idle connections beside them (0)\n"
    "  -d MS      measured time (1000)          -w MS      time before, not measured (0)\n"
    "  -r COUNT   stop after so many requests   -R RATE    requests per second, latency from when one was due\n"
    "  -s STATUS  expected, 0 for any (200)     -l LENGTH  expected length of the content (any)\n"
    "  -V         compare every byte of it      -p PID     measure this process and its descendants\n"
    "  -z         wait until that one is idle   -O ADDRESS:PORT  ask this origin how many requests it got\n";

_Noreturn static void usage_exit(void)
{
    fputs(usage, stderr);
    exit(2);
}

static uint64_t number(const char *text, uint64_t max)
{
    uint64_t n;
    if (!number_read(text, max, &n)) usage_exit();
    return n;
}

static struct sockaddr_in address(const char *text)
{
    struct sockaddr_in at;
    if (!address_read(text, &at)) usage_exit();
    return at;
}

static enum load_order order(const char *text)
{
    static const char *const names[] = { "random", "sequence", "shuffled" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0) return (enum load_order)i;
    usage_exit();
}

static void option_read(struct load_options *o, int letter, const char *value)
{
    switch (letter) {
    case 'a': o->server = address(value); break;
    case 'O': o->origin = address(value); break;
    case 't': o->target = value; break;
    case 'X': o->method = value; break;
    case 'B': o->content = value; break;
    case 'H':
        if (o->field_count == LOAD_FIELDS_MAX) usage_exit();
        o->fields[o->field_count++] = value;
        break;
    case 'N': o->numbers = number(value, UINT32_MAX); break;
    case 'F': o->first = number(value, UINT64_MAX / 2); break;
    case 'o': o->order = order(value); break;
    case 'c': o->connections = number(value, LOAD_CONNECTIONS_MAX); break;
    case 'i': o->idle = number(value, LOAD_IDLE_MAX); break;
    case 'r': o->requests = number(value, UINT32_MAX); break;
    case 'd': o->time_ms = number(value, 600000); break;
    case 'w': o->warm_ms = number(value, 600000); break;
    case 'R': o->rate = number(value, 10000000); break;
    case 's': o->status = strcmp(value, "0") == 0 ? UINT64_MAX : number(value, 999); break;
    case 'l': o->length = number(value, UINT32_MAX); break;
    case 'p': o->pid = (pid_t)number(value, INT32_MAX); break;
    case 'V': o->verifies = true; break;
    case 'z': o->settles = true; break;
    default: usage_exit();
    }
}

struct load_options load_options_read(int argc, char **argv)
{
    struct load_options o = { .method = "GET", .numbers = 1, .connections = 32, .time_ms = 1000, .status = 200 };
    o.length = UINT64_MAX;
    for (int letter; (letter = getopt(argc, argv, "a:O:t:X:B:H:N:F:o:c:i:r:d:w:R:s:l:p:Vz")) != -1;)
        option_read(&o, letter, optarg);
    if (optind != argc || o.target == NULL || o.server.sin_port == 0) usage_exit();
    if (o.connections == 0 || o.numbers == 0) usage_exit();
    return o;
}

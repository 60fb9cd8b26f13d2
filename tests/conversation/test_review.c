/* What a stranger tried: odd ways to start weir, and to talk to it. */
#include "tests/conversation/harness.h"

#include <string.h>

#define COMMON "--origin http://127.0.0.1:9 --store-size 16MiB --memory 8MiB"

/* Sockets that share a port would be given its clients by chance. */
static const struct address_row {
    const char *listen, *second, *host; /* second: the option whose address is the same one */
} shared[] = {
    { "127.0.0.1", "--admin", "127.0.0.1" },  { "127.0.0.1", "--listen", "127.0.0.1" },
    { "127.0.0.1", "--listen", "localhost" }, { "127.0.0.1", "--listen", "0.0.0.0" },
    { "0.0.0.0", "--admin", "127.0.0.1" },
};

START_TEST(one_address_is_served_once)
{
    const struct address_row *row = &shared[_i];
    struct scene *s = scene_begin_stopped();
    int port = process_free_port();
    /* --admin comes first, so that the row's own wins */
    const char *words = say(s, COMMON " --admin 127.0.0.1:%d --listen %s:%d %s %s:%d --store %s/store",
                            process_free_port(), row->listen, port, row->second, row->host, port, scene_weir(s)->dir);
    weir_run_ends(s, words, 1, say(s, "%d", port));
    scene_end(s);
}
END_TEST

int main(void)
{
    const struct test tests[] = {
        TABLE(one_address_is_served_once, shared),
    };
    return converse("review", tests, COUNT(tests));
}

#include "proxy/descriptors.h"

#include <sys/resource.h>

size_t descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return DESCRIPTORS_OF_WEIR;
    struct rlimit raised = { limit.rlim_max, limit.rlim_max };
    return setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur;
}

unsigned descriptors_for_clients(size_t may_be_open, size_t workers, unsigned wanted)
{
    size_t own = DESCRIPTORS_OF_WEIR + workers * DESCRIPTORS_OF_WORKER;
    size_t rest = may_be_open > own ? may_be_open - own : 0;
    size_t each = rest / 3 * 2 / workers;
    if (each < DESCRIPTORS_CLIENTS_LEAST) each = DESCRIPTORS_CLIENTS_LEAST;
    return each < wanted ? (unsigned)each : wanted;
}

/* command: the commands that talk to a running weir through its admin address. Each takes its own name as argv[0], reports on
 * stdout, complains in one line on stderr, and returns the exit status: 0 success, 1 failure while running, 2 wrong usage. */
#ifndef WEIR_PROXY_COMMAND_H
#define WEIR_PROXY_COMMAND_H

int command_purge(int argc, char **argv);
/** `weir check FILE`: talks to nobody. */
int command_check(int argc, char **argv);
int command_stats(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_top(int argc, char **argv);
/** `weir warm FILE`: asks a listener, as a client does. */
int command_warm(int argc, char **argv);
/* This one asks no weir: it reads an access log. */
int command_simulate(int argc, char **argv);

#endif

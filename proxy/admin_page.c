/* GET /: a page that links the rest of the API. It loads nothing from elsewhere and runs no script. */
#include "proxy/admin_internal.h"

#include <stdlib.h>

static const char page[] =
    "<!doctype html>\n"
    "<html lang=\"en\">\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<title>weir</title>\n"
    "<style>\n"
    "body { font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 2rem auto; padding: 0 1rem }\n"
    "code, input { font: 0.9rem ui-monospace, monospace }\n"
    "input { width: 24rem; max-width: 100% }\n"
    "dt { margin-top: 0.8rem } dd { margin: 0 }\n"
    "</style>\n"
    "<h1>weir " WEIR_VERSION "</h1>\n"
    "<form action=\"/v1/explain\">\n"
    "<label>What is stored for a URL, and what would happen to a request for it:<br>\n"
    "<input type=\"url\" name=\"url\" required placeholder=\"http://example.com/path\"></label>\n"
    "<button>Explain</button>\n"
    "</form>\n"
    "<dl>\n"
    "<dt><a href=\"/v1/stats\">/v1/stats</a></dt><dd>counters, gauges and latency quantiles as JSON</dd>\n"
    "<dt><a href=\"/metrics\">/metrics</a></dt><dd>the same in the Prometheus text format</dd>\n"
    "<dt><a href=\"/healthz\">/healthz</a>, <a href=\"/readyz\">/readyz</a></dt><dd>alive; able to serve</dd>\n"
    "<dt><code>POST /v1/purge</code></dt>\n"
    "<dd>take responses out: <code>weir purge --help</code></dd>\n"
    "<dt><code>POST /v1/reload</code></dt>\n"
    "<dd>read the configuration again</dd>\n"
    "</dl>\n"
    "</html>\n";

void admin_page(struct admin_request *r)
{
    admin_answer(r, 200, "text/html; charset=utf-8", strdup(page), sizeof(page) - 1);
}

/* The certificate of an https origin is checked, and its name. */
#include "proxy/origin.h"

#include <check.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Made for this file and known to everybody: DNS:localhost, signed by itself, valid from 2020 to 2120. */
static const char key_pem[] = "-----BEGIN PRIVATE KEY-----\n"
                              "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgShH+8bggPBXN5Vha\n"
                              "okGlNWhcmTw590lruyyYIneL7TShRANCAAS0H0mDslPt5fMT/Qv8mYDzNwfkCtRS\n"
                              "h6r+OVwm3MP1a8XG5+9exN65P1H0+dU/cDxca+2vOq/BS4iM893lQM4L\n"
                              "-----END PRIVATE KEY-----\n";
static const char certificate_pem[] = "-----BEGIN CERTIFICATE-----\n"
                                      "MIIBbjCCARWgAwIBAgIBATAKBggqhkjOPQQDAjAbMRkwFwYDVQQDDBB3ZWlyIHRl\n"
                                      "c3Qgb3JpZ2luMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAbMRkw\n"
                                      "FwYDVQQDDBB3ZWlyIHRlc3Qgb3JpZ2luMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD\n"
                                      "QgAEtB9Jg7JT7eXzE/0L/JmA8zcH5ArUUoeq/jlcJtzD9WvFxufvXsTeuT9R9PnV\n"
                                      "P3A8XGvtrzqvwUuIjPPd5UDOC6NIMEYwFAYDVR0RBA0wC4IJbG9jYWxob3N0MA8G\n"
                                      "A1UdEwEB/wQFMAMBAf8wHQYDVR0OBBYEFMya9t+oK8L9sE+06Bgi+yZdlbCDMAoG\n"
                                      "CCqGSM49BAMCA0cAMEQCIEKSa0ALJQGf3tnioXj8rHdF4pDATGN8IN9P+cCGOR0i\n"
                                      "AiAzYy/xBJLK+kFLl1DFuxzHXVIN0CnMNH5QQgAmShtzaA==\n"
                                      "-----END CERTIFICATE-----\n";

struct heard {
    int ends;
    int status;
    enum origin_result result;
    char why[300];
};

static void on_interim(void *arg, int status, struct field_section fields)
{
    (void)arg, (void)status, (void)fields;
}

static void on_head(void *arg, const struct response_head *head, int64_t length)
{
    ((struct heard *)arg)->status = head->status;
    (void)length;
}

static void on_content(void *arg, const uint8_t *at, size_t len)
{
    (void)arg, (void)at, (void)len;
}

static ssize_t on_read(void *arg, uint8_t *to, size_t cap)
{
    (void)arg, (void)to, (void)cap;
    return 0;
}

static void on_end(void *arg, enum origin_result result, const char *why)
{
    struct heard *h = arg;
    h->ends++;
    h->result = result;
    snprintf(h->why, sizeof(h->why), "%s", why);
}

static const struct origin_handler handler = { on_interim, on_head, on_content, on_read, on_end, NULL, NULL };

static enum MHD_Result answer(void *owner, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_size, void **context)
{
    (void)owner, (void)url, (void)method, (void)version, (void)upload, (void)upload_size, (void)context;
    static char content[] = "jam";
    struct MHD_Response *r = MHD_create_response_from_buffer(3, content, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result queued = MHD_queue_response(connection, 200, r);
    MHD_destroy_response(r);
    return queued;
}

static struct MHD_Daemon *origin_start(int *port)
{
    struct sockaddr_in loopback = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct MHD_Daemon *d = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_TLS, 0, NULL, NULL, answer, NULL,
                                            MHD_OPTION_SOCK_ADDR, &loopback, MHD_OPTION_HTTPS_MEM_KEY, key_pem,
                                            MHD_OPTION_HTTPS_MEM_CERT, certificate_pem, MHD_OPTION_END);
    ck_assert_ptr_nonnull(d);
    *port = MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT)->port;
    return d;
}

static void certificate_write(char *path)
{
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, certificate_pem, strlen(certificate_pem)), (ssize_t)strlen(certificate_pem));
    close(fd);
}

struct tls_case {
    const char *host;
    bool trusted;
    enum origin_result want;
};

static const struct tls_case cases[] = {
    { "localhost", true, ORIGIN_COMPLETE },
    { "localhost", false, ORIGIN_TLS }, /* signed by itself */
    { "127.0.0.1", true, ORIGIN_TLS },  /* a certificate for another name */
};

START_TEST(a_certificate_is_checked)
{
    const struct tls_case *c = &cases[_i];
    char path[] = "/tmp/weir-test-XXXXXX", url[64], why[300];
    certificate_write(path);
    if (c->trusted) {
        setenv("SSL_CERT_FILE", path, 1);
    } else {
        unsetenv("SSL_CERT_FILE");
    }
    int port;
    struct MHD_Daemon *origin = origin_start(&port);
    struct loop *loop = loop_new();
    struct origin_client *client = origin_client_new(loop, why, sizeof(why));
    struct origin_server server;
    snprintf(url, sizeof(url), "https://%s:%d", c->host, port);
    ck_assert_msg(origin_server_parse(url, &server, why, sizeof(why)), "%s", why);
    static const char *const lines[] = { "Host: localhost" };
    struct origin_request request = { .server = &server,
                                      .method = VIEW("GET"),
                                      .target = VIEW("/"),
                                      .lines = lines,
                                      .line_count = 1,
                                      .content_length = -1,
                                      .may_resend = true };
    struct heard h = { .ends = 0 };
    ck_assert_ptr_nonnull(origin_fetch(client, &request, &handler, &h));
    while (h.ends == 0) loop_turn(loop);
    ck_assert_msg(h.result == c->want, "%s: %s", origin_result_name(h.result), h.why);
    ck_assert_int_eq(h.status, c->want == ORIGIN_COMPLETE ? 200 : 0);
    origin_client_free(client);
    loop_free(loop);
    origin_server_release(&server);
    MHD_stop_daemon(origin);
    unlink(path);
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *s = suite_create("origin_tls");
    TCase *t = tcase_create("origin_tls");
    tcase_add_loop_test(t, a_certificate_is_checked, 0, sizeof(cases) / sizeof(cases[0]));
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}

# Turn the measurements of make bench (ROW SERVER NAME=VALUE...) into tables of medians. -v rows= servers= idle=

function median_of(row, server, name,    n, i, j, t, v) {
    n = split(seen[row, server, name], v, " ")
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && v[j] + 0 < v[j - 1] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
    low = v[1]; high = v[n]
    if (n == 0) return ""
    return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}

function ratio(a, b) { return a != "" && b != "" && b > 0 ? sprintf("%.2f", a / b) : "-" }
function us(x) { return x == "" ? "-" : x < 100 ? sprintf("%.2f", x) : sprintf("%.0f", x) }

function what(row) {
    if (row == "hit-1k") return "hit, 1 KiB of content, one of 1 000 targets"
    if (row == "304") return "If-None-Match that matches, the same targets"
    if (row == "hit-64k") return "hit, 64 KiB, one of 100 targets"
    if (row == "hit-1m") return "hit, 1 MiB, one of 10 targets"
    if (row == "miss-1k") return "miss, 1 KiB, every target new, stored"
    if (row == "miss-64k") return "miss, 64 KiB, every target new, stored"
    if (row == "store-hit") return "first hits after a restart, 1 KiB, each target once"
    if (row == "idle-10k") return "hit-1k beside " idle " idle connections"
    if (row == "purges") return "hit-1k beside 1 000 purges a second"
    if (row == "p99-half") return "hit-1k at half of the server's own maximum rate: latency"
    if (row == "hit-many") return "hit, 100 bytes, one of very many targets"
    return row
}

{
    for (i = 3; i <= NF; i++) {
        eq = index($i, "=")
        key = $1 SUBSEP $2 SUBSEP substr($i, 1, eq - 1)
        seen[key] = seen[key] " " substr($i, eq + 1)
        sum[key] += substr($i, eq + 1)
    }
}

# What makes a figure mean less than it says.
function remarks(row, s,    text) {
    if (sum[row, s, "wrong"]) text = text ", " sum[row, s, "wrong"] " wrong answers"
    if (row !~ /^miss/ && sum[row, s, "forwarded"]) text = text ", " sum[row, s, "forwarded"] " went to the origin"
    if (row ~ /^miss/ && sum[row, s, "forwarded"] < sum[row, s, "requests"]) text = text ", not all were misses"
    if (sum[row, s, "lost"]) text = text sprintf(", %.1f %% not stored", 100 * sum[row, s, "lost"] / sum[row, s, "of"])
    if (row == "idle-10k" && median_of(row, s, "idle") < idle) text = text ", only " low " of them stayed open"
    if (sum[row, s, "reopened"]) text = text ", " sum[row, s, "reopened"] " connections closed"
    return substr(text, 3)
}

function line(row, s, floor_us, weir_us,    m, cpu, rest) {
    m = median_of(row, s, "cpu_us")
    if (m == "") return
    cpu = sprintf("%9s  %-15s", us(m), us(low) ".." us(high))
    m_rps = median_of(row, s, "rps")
    rest = sprintf("%9.0f  %-15s", m_rps, sprintf("%.0f..%.0f", low, high))
    printf "  %-8s %s %s %8s %8s", s, cpu, rest, ratio(m, floor_us), s == "weir" ? "" : ratio(weir_us, m)
    if (row == "p99-half")
        printf "  %s / %s / %s us", us(median_of(row, s, "p50_us")), us(median_of(row, s, "p99_us")), us(median_of(row, s, "p999_us"))
    if (row ~ against_hit) printf "  %s", ratio(m, median_of("hit-1k", s, "cpu_us"))
    if (sum[row, s, "memory"] > 0) printf "  %d B of memory a response", median_of(row, s, "memory")
    m = remarks(row, s)
    print m == "" ? "" : "  ! " m
}

function purge_table() {
    if (median_of("purge-tag", "weir", "p50_us") == "") return
    printf "\npurge-tag: from asking for a purge of a tag to its acknowledgement, by weir\n"
    printf "  on 1 response %s us, on very many %s us\n", us(median_of("purge-one", "weir", "p50_us")), us(median_of("purge-tag", "weir", "p50_us"))
}

function table(row,    i, extra) {
    extra = row == "p99-half" ? "  p50 / p99 / p99.9" : row ~ against_hit ? "  x hit-1k" : ""
    printf "\n%s: %s\n", row, what(row)
    printf "  %-8s %9s  %-15s %9s  %-15s %8s %8s%s\n", "", "us CPU", "min..max", "req/s", "min..max", "x floor", "weir x", extra
    for (i = 1; i <= ns; i++)
        line(row, server[i], median_of(row, "floor", "cpu_us"), median_of(row, "weir", "cpu_us"))
}

BEGIN { against_hit = "^(idle-10k|purges|hit-many)$" }

END {
    nr = split(rows, row_name, " ")
    ns = split(servers, server, " ")
    for (r = 1; r <= nr; r++)
        if (row_name[r] == "purge-tag") purge_table()
        else table(row_name[r])
    printf "\nserver CPU per request, us, medians\n  %-10s", ""
    for (i = 1; i <= ns; i++) printf "%9s", server[i]
    print ""
    for (r = 1; r <= nr; r++) {
        if (row_name[r] == "purge-tag") continue
        printf "  %-10s", row_name[r]
        for (i = 1; i <= ns; i++) printf "%9s", us(median_of(row_name[r], server[i], "cpu_us"))
        print ""
    }
}

"""The figures of ESP in memory: sealing and opening against the bare AEAD call, and lookups among many against one."""
import json
import subprocess
import sys

from harness import BIN

CIPHERS = ("AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305")


def medians(program, repetitions):
    """name: the median's fields."""
    print(f"{program}, {repetitions} repetitions", file=sys.stderr, flush=True)
    run = subprocess.run([BIN / program, "--benchmark_format=json", f"--benchmark_repetitions={repetitions}",
                          "--benchmark_min_time=0.1", "--benchmark_enable_random_interleaving=true",
                          "--benchmark_report_aggregates_only=true"], capture_output=True, text=True, check=True)
    rows = json.loads(run.stdout)["benchmarks"]
    return {row["run_name"].split("/repeats")[0]: row for row in rows if row["aggregate_name"] == "median"}


def verdict(what, ratio, sense, bound):
    met = ratio >= bound if sense == ">=" else ratio <= bound
    return f"  {'met   ' if met else 'MISSED'} {what}: {ratio:.2f} (wanted {sense} {bound})"


def report(repetitions):
    """Prints the tables; returns what they hold."""
    esp, lookups = medians("esp_bench", repetitions), medians("database_bench", repetitions)
    out, verdicts = {}, []
    print("one core, batches of 64; of the bare BoringSSL call in GB/s, and cycles (of the time stamp counter) a packet\n")
    print(f"{'':<20}{'bytes':>6}{'bare seal':>12}{'seal':>8}{'ratio':>8}{'cycles':>8}{'bare open':>12}{'open':>8}{'ratio':>8}{'cycles':>8}")
    for number, cipher in enumerate(CIPHERS):
        for size in (64, 512, 1400):
            line = f"{cipher:<20}{size:>6}"
            for way in ("seal", "open"):
                bare, ours = (esp[f"{who}_{way}/cipher:{number}/size:{size}"] for who in ("bare", "esp"))
                # Cycles leave out what is paused for; bytes per second would not.
                ratio = bare["cycles/packet"] / ours["cycles/packet"]
                gigabytes = bare["bytes_per_second"] / 1e9
                line += f"{gigabytes:>12.2f}{gigabytes * ratio:>8.2f}{ratio:>8.2f}{ours['cycles/packet']:>8.0f}"
                out[f"{way} {cipher} {size}"] = ratio
                if size == 1400:
                    verdicts.append(verdict(f"{way}, {cipher}, 1400 bytes", ratio, ">=", 0.85))
            print(line)
    spi = lookups["spi_lookup/100000"]["cpu_time"] / lookups["spi_lookup/1"]["cpu_time"]
    policy = lookups["policy_lookup/10000"]["cpu_time"] / lookups["policy_lookup/1"]["cpu_time"]
    memory = lookups["spi_lookup/100000"]["bytes/SA"]
    print(*verdicts, sep="\n")
    print(f"\nSPI lookup among 100,000 SAs against 1: {spi:.2f}; memory of an inbound SA: {memory:.0f} bytes")
    print(verdict("policy lookup among 10,000 selectors against 1", policy, "<=", 2) + "\n", flush=True)
    return out | {"spi lookup": spi, "policy lookup": policy, "bytes of an SA": memory}

#include "footprint.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>

namespace winze::tool {
namespace {

constexpr std::size_t kWorthwhile = 4 << 20;

// Read-only segments are as they are in their files, so nothing is lost with their pages. Segments that were ever
// writable hold relocated data and stay.
int drop_read_only(dl_phdr_info* info, std::size_t, void*) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const std::uintptr_t begin = (info->dlpi_addr + segment.p_vaddr + page - 1) & ~(page - 1);
    const std::uintptr_t end = (info->dlpi_addr + segment.p_vaddr + segment.p_filesz) & ~(page - 1);
    if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  return 0;
}

// Resident bytes that are no file's, beyond those in use.
std::size_t idle_memory() {
  std::size_t all = 0, resident = 0, of_files = 0;
  std::ifstream("/proc/self/statm") >> all >> resident >> of_files;
  const std::size_t own = (resident - of_files) * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return own - std::min(own, ::mallinfo2().uordblks);
}

}  // namespace

void drop_startup_memory() {
  ::malloc_trim(0);
  ::dl_iterate_phdr(drop_read_only, nullptr);
}

void HeapWatch::look() {
  const std::size_t idle = idle_memory();
  left_ = std::min(left_, idle);
  if (idle - left_ < kWorthwhile) return;
  ::malloc_trim(0);
  left_ = idle_memory();
}

}  // namespace winze::tool

#include "winze/base/stream_codec.h"

#include "winze/base/error.h"

namespace winze {

std::error_code StreamCodec::open_end() { return Errc::kEof; }

}  // namespace winze

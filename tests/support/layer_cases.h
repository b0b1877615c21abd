// Every stream layer of this library, and one of a user's own, as something that opens over any pair of streams.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "winze/base/stream_codec.h"
#include "winze/io/environment.h"

namespace winze::test {

struct LayerCase {
  std::string name;
  std::function<std::unique_ptr<StreamCodec>(Environment&)> client;
  std::function<std::unique_ptr<StreamCodec>(Environment&)> server;
  // Whether a shutdown_write() reaches the peer while the other direction goes on.
  bool half_close = true;
  // Whether an end without the layer's own mark is told from an orderly one.
  bool marks_end = false;
  // After its opening it passes bytes as they are, like another case here: not each of the later operations fails.
  bool like_another = false;
};

const std::vector<LayerCase>& layer_cases();

}  // namespace winze::test

// Fields that concern one connection only, and do not pass a proxy (RFC 9110 §7.6.1).
#pragma once

#include "winze/proto/http/fields.h"

namespace winze::http {

// Removes them, and those that a Connection field names; so what the framing needs is set anew afterwards.
void strip_hop_by_hop(Fields& fields);

}  // namespace winze::http

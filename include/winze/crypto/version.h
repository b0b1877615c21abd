// Which BoringSSL this library was built with.
#pragma once

namespace winze {

// BORINGSSL_API_VERSION: BoringSSL makes no releases, but counts its interface up as it changes.
int boringssl_api_version();

}  // namespace winze

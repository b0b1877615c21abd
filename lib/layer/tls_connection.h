// What BoringSSL's callbacks need to find from an SSL object.
#pragma once

#include <openssl/ssl.h>

#include <string_view>

#include "tls_context.h"

namespace winze::tls {

ClientContext::Parts& client_parts(const SSL* ssl);
ServerContext::Parts& server_parts(const SSL* ssl);
// The name the client's connection is for.
std::string_view connection_name(const SSL* ssl);
// The reason a callback stops the handshake for, which the library's own error queue does not carry.
void set_connection_error(const SSL* ssl, std::error_code error, std::string_view detail);
enum ssl_verify_result_t verify_connection(SSL* ssl, std::uint8_t* out_alert);

}  // namespace winze::tls

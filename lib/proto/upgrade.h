// What the openings of WebSocket and HTTPUpgrade have in common (RFC 9110 §7.8).
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "winze/base/random.h"
#include "winze/proto/http/head.h"

namespace winze::upgrade {

// --- client ---

absl::Status validate(std::string_view host, std::string_view path, const std::vector<http::Field>& fields);

// A GET that asks for "websocket". `path` is made a target: with '/' in front, and bytes that have no place in one
// percent-encoded.
http::RequestHead make_request(std::string_view host, std::string_view path, const std::vector<http::Field>& fields);

// The status is 101, and the connection is now a "websocket".
std::error_code check_response(const http::ResponseHead& response);

// --- server ---

// A GET that asks for "websocket", without a body.
bool is_upgrade(const http::RequestHead& request);
// The origin form of a request's target: a scheme and host in front of the path are taken off (RFC 9112 §3.2.2).
std::string_view origin_form(std::string_view target);
// The path without its query, percent-decoded.
std::string decoded_path(std::string_view origin);
bool is_for_host(const http::RequestHead& request, std::string_view host);
http::ResponseHead make_response();
// An answer without a body, after which the connection closes.
void append_refusal(unsigned status, Buffer& out);

// --- early data ---

std::string encode_early(std::span<const std::uint8_t> bytes);
// Takes both alphabets of base64, padded or not.
std::optional<std::vector<std::uint8_t>> decode_early(std::string_view text);
// Puts early data in front of opened bytes.
void prepend_early(std::vector<std::uint8_t>& early, Buffer& data);

}  // namespace winze::upgrade

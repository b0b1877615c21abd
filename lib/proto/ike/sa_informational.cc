// INFORMATIONAL (RFC 7296 section 1.4): deletion and signs of life, and what else goes by it.
#include <algorithm>

#include "sa.h"

namespace winze::ike {

void Sa::send_informational(TimePoint now, Task task) {
  Buffer inner(128);
  PayloadWriter out(inner);
  switch (task.kind) {
    case Task::Kind::kDeleteChild: {
      ChildSa* const child = child_by_in(task.spi);
      if (child == nullptr ? !task.unmade : put_off(now, *child, task)) return;
      if (child != nullptr) {
        child->state = ChildSa::State::kDeleting;
        child->rekey_at = kNever;
      }
      write_delete_esp(out, {&task.spi, 1});
      break;
    }
    case Task::Kind::kDeleteIke:
      write_delete_ike(out);
      break;
    case Task::Kind::kMove:
    case Task::Kind::kCheckWay:
      write_move(out, task);
      break;
    case Task::Kind::kTellAddresses:
      write_addresses(out, true);
      break;
    case Task::Kind::kRedirect:
      write_notify(out, notify::kRedirect, task.cookie);
      break;
    default:
      break;
  }
  send_request(now, std::move(task), Exchange::kInformational, out.first(), inner.span());
}

void Sa::on_informational_response(TimePoint now, Active active, const Contents& contents) {
  switch (active.task.kind) {
    case Task::Kind::kDeleteChild:
      if (ChildSa* const child = child_by_in(active.task.spi)) {
        remove_child(now, *child, reason(active.task.cause, ""));
      }
      break;
    case Task::Kind::kDeleteIke:
      end(now, reason(closing_cause_, ""), false);
      break;
    case Task::Kind::kMove:
      return on_move_response(now, active, contents);
    case Task::Kind::kCheckWay:
      return on_way_checked(now, active, contents);
    default:
      break;
  }
}

void Sa::on_informational_request(TimePoint now, const Path& path, const Header& header, const Contents& contents) {
  Buffer inner(256);
  PayloadWriter out(inner);
  bool ends = false;
  std::vector<std::uint32_t> deleted;
  for (const DeleteView& view : contents.deletes) {
    if (view.protocol == Protocol::kIke) ends = true;
    if (view.protocol == Protocol::kEsp) on_delete_children(now, view, deleted);
  }
  // RFC 7296 section 1.4.1: the children of an IKE SA that ends need no words.
  if (!ends && !deleted.empty()) write_delete_esp(out, deleted);
  on_move_request(now, path, contents, out);
  take_auth_lifetime(now, contents);
  respond(now, header, path, out.first(), inner.span());
  if (!ends) (void)redirected(now, contents, std::nullopt);
  const NotifyView* const error = contents.error();
  if (ends) {
    if (state_ == State::kUp) adopt_crossing(now);
    Reason why = reason(Cause::kClosedByPeer, "");
    if (error != nullptr) why.notify = error->type;
    return end(now, std::move(why), true);
  }
  // RFC 7296 section 2.21.2: the initiator does not take us for whom we are.
  if (error != nullptr && error->type == notify::kAuthenticationFailed) {
    return end(now, reason(Cause::kRefusedByPeer, "", error->type), true);
  }
  if (!active_) pump(now);
}

void Sa::on_delete_children(TimePoint now, const DeleteView& view, std::vector<std::uint32_t>& answered) {
  for (const std::uint32_t spi : view.spis) {
    ChildSa* const child = child_by_out(spi);
    // RFC 7296 section 1.4.1: what we delete too is not named again; its inbound SA goes with the answer to ours.
    if (child == nullptr || (child->state == ChildSa::State::kDeleting && active_ &&
                             active_->task.kind == Task::Kind::kDeleteChild && active_->task.spi == child->spi_in)) {
      continue;
    }
    answered.push_back(child->spi_in);
    const ChildId id_of = child->id;
    remove_child(now, *child, reason(Cause::kClosedByPeer, ""));
    restore_replaced(now, id_of);
  }
}

}  // namespace winze::ike

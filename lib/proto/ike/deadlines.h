// When each of many owners wants to be called next: a binary heap in which an owner knows its place.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "winze/base/time.h"

namespace winze::ike {

// Base of the owners.
struct Timed {
  TimePoint due = kNever;
  std::size_t place = SIZE_MAX;  // in the heap; SIZE_MAX: in none
};

class Deadlines {
 public:
  // Owners with kNever are in no heap.
  void set(Timed& owner, TimePoint due) {
    if (owner.due == due) return;
    owner.due = due;
    if (due == kNever) return remove(owner);
    if (owner.place == SIZE_MAX) {
      owner.place = heap_.size();
      heap_.push_back(&owner);
    }
    down(up(owner.place));
  }
  void remove(Timed& owner) {
    const std::size_t at = owner.place;
    owner.due = kNever;
    if (at == SIZE_MAX) return;
    owner.place = SIZE_MAX;
    Timed* const last = heap_.back();
    heap_.pop_back();
    if (last == &owner) return;
    put(at, last);
    down(up(at));
  }
  TimePoint next() const { return heap_.empty() ? kNever : heap_.front()->due; }
  Timed* first() const { return heap_.empty() ? nullptr : heap_.front(); }

 private:
  void put(std::size_t at, Timed* owner) {
    heap_[at] = owner;
    owner->place = at;
  }
  std::size_t up(std::size_t at) {
    Timed* const owner = heap_[at];
    while (at != 0 && owner->due < heap_[(at - 1) / 2]->due) {
      put(at, heap_[(at - 1) / 2]);
      at = (at - 1) / 2;
    }
    put(at, owner);
    return at;
  }
  void down(std::size_t at) {
    Timed* const owner = heap_[at];
    for (;;) {
      std::size_t child = 2 * at + 1;
      if (child >= heap_.size()) break;
      if (child + 1 < heap_.size() && heap_[child + 1]->due < heap_[child]->due) ++child;
      if (heap_[child]->due >= owner->due) break;
      put(at, heap_[child]);
      at = child;
    }
    put(at, owner);
  }

  std::vector<Timed*> heap_;
};

}  // namespace winze::ike

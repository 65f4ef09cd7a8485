// What is to happen, in order: meshsim/engines/compiled/events.py. What happens soon is in a small heap, what happens
// later unsorted in a wheel of buckets of equal width, and what lies beyond the wheel in a second heap.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

struct Event {
    std::int64_t time, order;  // order: kind << 60 | request << 20 | frame
    std::int32_t about, extra;

    bool before(const Event& other) const {
        return time < other.time || (time == other.time && order < other.order);
    }
};

class Heap {
  public:
    bool empty() const { return events_.empty(); }
    const Event& first() const { return events_.front(); }

    void push(const Event& event) {
        std::size_t here = events_.size();
        events_.push_back(event);
        while (here > 0) {
            const std::size_t above = (here - 1) / 2;
            if (events_[above].before(event)) break;
            events_[here] = events_[above];
            here = above;
        }
        events_[here] = event;
    }

    void remove_first() {
        const Event last = events_.back();
        events_.pop_back();
        const std::size_t left = events_.size();
        if (left == 0) return;
        std::size_t here = 0;
        for (std::size_t child = 1; child < left; child = 2 * here + 1) {
            if (child + 1 < left && events_[child + 1].before(events_[child])) ++child;
            if (last.before(events_[child])) break;
            events_[here] = events_[child];
            here = child;
        }
        events_[here] = last;
    }

  private:
    std::vector<Event> events_;
};

class Events {
  public:
    void push(const Event& event) {
        ++pending_;
        place(event);
    }

    // Whether the first event is at hand; if not, open_next() until it is.
    bool at_hand() const { return !near_.empty(); }

    Event take_first() {
        const Event event = near_.first();
        near_.remove_first();
        --pending_;
        return event;
    }

    // Empties the next bucket into the near heap. Whoever an event is about is touched before he is needed.
    template <typename Touch>
    void open_next(std::int64_t now, std::int64_t happened, Touch touch) {
        if (happened >= tune_at_) {
            tune(now, happened);
            if (!near_.empty()) return;
        }
        if (in_wheel_ == 0) {
            near_end_ = far_.first().time >> width_ << width_;
        } else {
            std::int64_t bucket = near_end_ >> width_;
            while (head(bucket) == NONE) ++bucket;
            near_end_ = (bucket + 1) << width_;
            std::int32_t node = head(bucket);
            head(bucket) = NONE;
            while (node != NONE) {
                Node& here = nodes_[static_cast<std::size_t>(node)];
                touch(here.event.about);
                near_.push(here.event);
                const std::int32_t behind = here.next;
                here.next = free_;
                free_ = node;
                node = behind;
                --in_wheel_;
            }
        }
        bring_nearer();
    }

  private:
    static constexpr std::int32_t NONE = -1;
    static constexpr std::int64_t A_BUCKET = 3, TUNE_EVERY = 1 << 16, FEWEST_BUCKETS = 256, MOST_BUCKETS = 1 << 20;

    struct Node {
        Event event;
        std::int32_t next;
    };

    std::int32_t& head(std::int64_t bucket) { return heads_[static_cast<std::size_t>(bucket & (buckets_ - 1))]; }

    void place(const Event& event) {
        const std::int64_t ahead = event.time - near_end_;
        if (ahead < 0) {
            near_.push(event);
        } else if (ahead >> width_ < buckets_) {
            std::int32_t node = free_;
            if (node == NONE) {
                node = static_cast<std::int32_t>(nodes_.size());
                nodes_.emplace_back();
            } else {
                free_ = nodes_[static_cast<std::size_t>(node)].next;
            }
            std::int32_t& first = head(event.time >> width_);
            nodes_[static_cast<std::size_t>(node)] = {event, first};
            first = node;
            ++in_wheel_;
        } else {
            far_.push(event);
        }
    }

    void bring_nearer() {
        const std::int64_t horizon = near_end_ + (buckets_ << width_);
        while (!far_.empty() && far_.first().time < horizon) {
            const Event event = far_.first();
            far_.remove_first();
            place(event);
        }
    }

    void tune(std::int64_t now, std::int64_t happened_so_far) {
        const std::int64_t passed = now - tuned_at_time_, happened = happened_so_far - tuned_at_;
        tuned_at_time_ = now;
        tuned_at_ = happened_so_far;
        const std::int64_t soon = 4 * (happened + 256);
        tune_at_ = happened_so_far + (soon < TUNE_EVERY ? soon : TUNE_EVERY);
        if (happened == 0) return;
        std::int64_t width = 0, buckets = FEWEST_BUCKETS;
        while ((std::int64_t{1} << width) * happened < passed << A_BUCKET && width < 40) ++width;
        while (buckets < pending_ && buckets < MOST_BUCKETS) buckets *= 2;
        const bool about_right = width_ <= width && width <= width_ + 1;
        if (!about_right || buckets > buckets_ || buckets * 4 < buckets_) turn_into(width, buckets);
    }

    void turn_into(std::int64_t width, std::int64_t buckets) {
        std::int32_t all_of_them = NONE;
        for (std::int64_t bucket = 0; bucket < buckets_; ++bucket) {
            std::int32_t node = head(bucket);
            head(bucket) = NONE;
            while (node != NONE) {
                Node& here = nodes_[static_cast<std::size_t>(node)];
                const std::int32_t behind = here.next;
                here.next = all_of_them;
                all_of_them = node;
                node = behind;
            }
        }
        width_ = width;
        buckets_ = buckets;
        near_end_ = ((near_end_ >> width) + 1) << width;
        in_wheel_ = 0;
        while (all_of_them != NONE) {
            Node& here = nodes_[static_cast<std::size_t>(all_of_them)];
            const Event event = here.event;
            const std::int32_t behind = here.next;
            here.next = free_;
            free_ = all_of_them;
            place(event);
            all_of_them = behind;
        }
        bring_nearer();
    }

    Heap near_, far_;
    std::vector<Node> nodes_;
    std::vector<std::int32_t> heads_ = std::vector<std::int32_t>(MOST_BUCKETS, NONE);
    std::int32_t free_ = NONE;
    std::int64_t width_ = 12, buckets_ = FEWEST_BUCKETS, near_end_ = 1 << 12, in_wheel_ = 0, pending_ = 0;
    std::int64_t tune_at_ = 256, tuned_at_ = 0, tuned_at_time_ = 0;
};

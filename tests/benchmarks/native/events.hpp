// What is to happen, in order: meshsim/engines/compiled/events.py. What happens soon is in a small heap, what happens
// somewhat later unsorted in a wheel of buckets of equal width, what happens later than that in blocks of time, and what
// lies beyond the blocks in a second heap.

#pragma once

#include <array>
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

    // Empties the next bucket into the near heap. Whoever an event is about is touched two buckets before he is needed,
    // and what he will use one bucket before.
    template <typename Touch, typename TouchUsed>
    void open_next(std::int64_t now, std::int64_t happened, Touch touch, TouchUsed touch_used) {
        if (happened >= tune_at_) {
            tune(now, happened);
            if (!near_.empty()) return;
        }
        if (in_wheel_ == 0) {
            to_next_block();
        } else {
            std::int64_t bucket = near_end_ >> width_;
            while (head(bucket) == NONE) ++bucket;
            near_end_ = (bucket + 1) << width_;
            std::int32_t node = head(bucket);
            head(bucket) = NONE;
            while (node != NONE) {
                Node& here = nodes_[static_cast<std::size_t>(node)];
                near_.push(here.event);
                const std::int32_t behind = here.next;
                here.next = free_;
                free_ = node;
                node = behind;
                --in_wheel_;
            }
            for (node = head(bucket + 2); node != NONE; node = nodes_[static_cast<std::size_t>(node)].next) {
                touch(nodes_[static_cast<std::size_t>(node)].event.about);
            }
            if (head(bucket + 4) != NONE) __builtin_prefetch(nodes_.data() + head(bucket + 4));
            for (node = head(bucket + 1); node != NONE; node = nodes_[static_cast<std::size_t>(node)].next) {
                touch_used(nodes_[static_cast<std::size_t>(node)].event);
            }
        }
        while (wheel_end_ + (std::int64_t{1} << block_) <= near_end_ + (buckets_ << width_)) {
            empty_block();
            bring_nearer();
        }
    }

  private:
    static constexpr std::int32_t NONE = -1;
    static constexpr std::int64_t A_BUCKET = 3, TUNE_EVERY = 1 << 16, FEWEST_BUCKETS = 256, MOST_BUCKETS = 1 << 10;
    static constexpr std::int64_t BLOCKS = 1 << 13, BLOCKS_IN_A_TURN = 2;
    static constexpr std::size_t IN_A_CHUNK = 8;

    struct Node {
        Event event;
        std::int32_t next;
    };

    struct Chunk {
        std::int32_t next;
        std::size_t filled;
        std::array<Event, IN_A_CHUNK> events;
    };

    std::int32_t& head(std::int64_t bucket) { return heads_[static_cast<std::size_t>(bucket & (buckets_ - 1))]; }

    std::int32_t& block(std::int64_t time) { return blocks_[static_cast<std::size_t>(time >> block_ & (BLOCKS - 1))]; }

    void place(const Event& event) {
        if (event.time < near_end_) {
            near_.push(event);
        } else if (event.time < wheel_end_) {
            into_wheel(event);
        } else if ((event.time - wheel_end_) >> block_ < BLOCKS) {
            into_block(event);
        } else {
            far_.push(event);
        }
    }

    void into_wheel(const Event& event) {
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
    }

    void into_block(const Event& event) {
        std::int32_t& first = block(event.time);
        if (first == NONE || chunks_[static_cast<std::size_t>(first)].filled == IN_A_CHUNK) {
            std::int32_t chunk = free_chunk_;
            if (chunk == NONE) {
                chunk = static_cast<std::int32_t>(chunks_.size());
                chunks_.emplace_back();
            } else {
                free_chunk_ = chunks_[static_cast<std::size_t>(chunk)].next;
            }
            chunks_[static_cast<std::size_t>(chunk)].next = first;
            chunks_[static_cast<std::size_t>(chunk)].filled = 0;
            first = chunk;
        }
        Chunk& here = chunks_[static_cast<std::size_t>(first)];
        here.events[here.filled++] = event;
        ++in_blocks_;
    }

    void to_next_block() {
        if (in_blocks_ != 0) {
            while (block(wheel_end_) == NONE) wheel_end_ += std::int64_t{1} << block_;
        } else {
            wheel_end_ = far_.first().time >> block_ << block_;
        }
        near_end_ = wheel_end_;
    }

    void empty_block() {
        std::int32_t chunk = block(wheel_end_);
        block(wheel_end_) = NONE;
        wheel_end_ += std::int64_t{1} << block_;
        while (chunk != NONE) {
            Chunk& here = chunks_[static_cast<std::size_t>(chunk)];
            for (std::size_t number = 0; number < here.filled; ++number) into_wheel(here.events[number]);
            in_blocks_ -= static_cast<std::int64_t>(here.filled);
            const std::int32_t behind = here.next;
            here.next = free_chunk_;
            free_chunk_ = chunk;
            chunk = behind;
        }
    }

    void bring_nearer() {
        const std::int64_t horizon = wheel_end_ + (BLOCKS << block_);
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
        while ((std::int64_t{1} << width) * happened < passed << A_BUCKET && width < 38) ++width;
        while (buckets < pending_ && buckets < MOST_BUCKETS) buckets *= 2;
        const bool about_right = width_ <= width && width <= width_ + 1;
        if (!about_right || buckets > buckets_ || buckets * 4 < buckets_) turn_into(width, buckets);
    }

    void turn_into(std::int64_t width, std::int64_t buckets) {
        std::vector<Event> all_of_them;
        for (std::int64_t bucket = 0; bucket < buckets_; ++bucket) {
            for (std::int32_t node = head(bucket); node != NONE;) {
                Node& here = nodes_[static_cast<std::size_t>(node)];
                all_of_them.push_back(here.event);
                const std::int32_t behind = here.next;
                here.next = free_;
                free_ = node;
                node = behind;
            }
            head(bucket) = NONE;
        }
        for (std::int32_t& first : blocks_) {
            for (std::int32_t chunk = first; chunk != NONE;) {
                Chunk& here = chunks_[static_cast<std::size_t>(chunk)];
                for (std::size_t n = 0; n < here.filled; ++n) all_of_them.push_back(here.events[n]);
                const std::int32_t behind = here.next;
                here.next = free_chunk_;
                free_chunk_ = chunk;
                chunk = behind;
            }
            first = NONE;
        }
        width_ = width;
        buckets_ = buckets;
        block_ = width - BLOCKS_IN_A_TURN;
        for (; buckets > 1; buckets >>= 1) ++block_;
        near_end_ = ((near_end_ >> width) + 1) << width;
        wheel_end_ = (near_end_ + (buckets_ << width)) >> block_ << block_;
        in_wheel_ = in_blocks_ = 0;
        for (const Event& event : all_of_them) place(event);
        bring_nearer();
    }

    Heap near_, far_;
    std::vector<Node> nodes_;
    std::vector<std::int32_t> heads_ = std::vector<std::int32_t>(MOST_BUCKETS, NONE);
    std::vector<Chunk> chunks_;
    std::vector<std::int32_t> blocks_ = std::vector<std::int32_t>(BLOCKS, NONE);
    std::int32_t free_ = NONE, free_chunk_ = NONE;
    std::int64_t width_ = 12, buckets_ = FEWEST_BUCKETS, near_end_ = 1 << 12, wheel_end_ = 1 << 20, block_ = 18,
                 in_wheel_ = 0, in_blocks_ = 0, pending_ = 0;
    std::int64_t tune_at_ = 256, tuned_at_ = 0, tuned_at_time_ = 0;
};

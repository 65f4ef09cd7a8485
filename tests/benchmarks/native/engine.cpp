// The algorithm of the compiled engine, as a C++ programmer would write it by hand: the opponent of the benchmark.
//
//   engine PLAN SEED REQUESTS FIRST
//
// reads the arrays of a plan (written by native.py), simulates until requests FIRST … FIRST + REQUESTS - 1 are
// answered, and prints what it counted as one line of JSON. Same draws, same order at an instant, same sums and
// histograms; without failures, retries, CPU limits, connections and samples of whole requests, which cost it nothing.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <unordered_map>
#include <vector>

#include "events.hpp"

namespace {

using Int = std::int64_t;
using Key = std::uint64_t;
using Small = std::int32_t;
using Column = std::vector<Int>;

// The plan --------------------------------------------------------------------------------------------------------

enum Op : Small { WORK, WAIT, ACQUIRE, RELEASE, START, SPAWN, JOIN, DETACH, BODY, RETURN, END, MORE };
enum When : Small { ALWAYS, SAME_NODE, OTHER_NODE, WOKEN, SAME_ZONE, OTHER_ZONE };
enum Place : Small { SOURCE, DESTINATION, VIA };
constexpr Small COLD = -2;  // law of work that is more the longer its thread has slept
constexpr Int LONGEST_SLEEP = (Int{1} << 31) - 1;
constexpr Small CPU_SLOT = 0, THREADS_SLOT = 1;
constexpr std::size_t MANY_STATIONS = 1 << 12;

constexpr Key STRIDE = 0xD1342543DE82EF95, GOLDEN = 0x9E3779B97F4A7C15;
constexpr Int POINTS = 40 * 64 + 1, OCTAVES = 40, HALF = 1 << 23, FRACTION_BITS = 24;

struct Instruction {
    Int mean_ns, amount;
    Key stride;
    Small op, at, other, when, slot, target, law, tag, purpose;
};

struct Service {
    Small first_pod, pods, first_via, vias;
};

struct Call {
    Small program, service, body, back;
};

class Arrays {
  public:
    explicit Arrays(const char* path) {
        std::ifstream file(path, std::ios::binary);
        for (std::string name; std::getline(file, name);) {
            Int length = 0;
            file.read(reinterpret_cast<char*>(&length), sizeof length);
            Column& column = columns_[name];
            column.resize(static_cast<std::size_t>(length));
            file.read(reinterpret_cast<char*>(column.data()), length * static_cast<Int>(sizeof(Int)));
        }
    }

    const Column& operator[](const std::string& name) const {
        const auto found = columns_.find(name);
        if (found == columns_.end()) {
            std::fprintf(stderr, "the plan has no array %s\n", name.c_str());
            std::exit(2);
        }
        return found->second;
    }

    Int one(const std::string& name) const { return (*this)[name].at(0); }

  private:
    std::unordered_map<std::string, Column> columns_;
};

// Random numbers: meshsim/plan/draws.py and laws.py ---------------------------------------------------------------

Key mix(Key z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

Key child_key(Key key, Int number) { return mix(key + static_cast<Key>(number + 1) * GOLDEN); }

Key draw(Key key, Int purpose) { return mix(key ^ (static_cast<Key>(purpose + 1) * STRIDE)); }

Int high(Key h) { return static_cast<Int>(h >> 32); }

// What moves ------------------------------------------------------------------------------------------------------

struct Line {
    Small head = -1, tail = -1, length = 0;
};

struct Station {
    Int slice_ns = 0, arrivals = 0, completions = 0, seen_at = 0, present_ns = 0, busy_ns = 0, sojourn_ns = 0;
    Int entry_times = 0, turns_ns = 0, turn_ends = 0, asleep_since = 0;
    Small servers = 0, free = 0, present = 0, turns = 0;
    Line line;

    void up_to(Int now) {
        if (const Int passed = now - seen_at; passed != 0) {
            present_ns += present * passed;
            busy_ns += (servers - free) * passed;
            seen_at = now;
        }
    }

    void enter(Int now) {
        up_to(now);
        ++present;
        ++arrivals;
        entry_times += now;
    }

    void leave(Int since, Int now) {
        up_to(now);
        --present;
        ++completions;
        entry_times -= since;
        sojourn_ns += now - since;
    }
};

struct Frame {
    Key key = 0;
    Int order = 0, since = 0, began = 0, held_since = 0, left = 0;
    Small pc = 0, parent = -1, call = -1;
    std::array<Small, 3> pods{};
    Small children = 0, next = -1, request = 0, ran = 0;
    Small slept = 0;
    bool joining = false, detached = false, woken = false, kept = false;
};

struct Request {
    Int number = 0;
    Small frames = 0, references = 0;
    Small next = -1;
};

// Rows that are used again: the last one given back comes first.
template <typename Row>
class Pool {
  public:
    Small take() {
        if (free_ < 0) {
            rows_.emplace_back();
            return static_cast<Small>(rows_.size()) - 1;
        }
        const Small number = free_;
        free_ = rows_[static_cast<std::size_t>(number)].next;
        return number;
    }

    void give_back(Small number) {
        (*this)[number].next = free_;
        free_ = number;
    }

    // It will soon be needed: let it come into the cache.
    void touch(Small number) const { __builtin_prefetch(rows_.data() + number); }

    Row& operator[](Small number) { return rows_[static_cast<std::size_t>(number)]; }

  private:
    std::vector<Row> rows_;
    Small free_ = -1;
};

constexpr Int ARRIVAL = Int{1} << 60, OF_A_FRAME = Int{2} << 60;

// What is counted: meshsim/results/histogram.py and timeline.py ----------------------------------------------------

constexpr Int BATCHES = 20, SUB_BITS = 8, CALL_SUB_BITS = 5, LONGEST_BITS = 46;

constexpr Int columns_of(Int sub_bits) {
    return ((LONGEST_BITS - sub_bits - 1) << sub_bits) + (Int{2} << sub_bits);
}

Int column_of(Int value, Int sub_bits) {
    const Int shift = std::bit_width(static_cast<Key>(value)) - sub_bits - 1;
    return shift <= 0 ? value : (shift << sub_bits) + (value >> shift);
}

class Histogram {
  public:
    Histogram(Int rows, Int sub_bits)
        : sub_bits_(sub_bits), columns_(columns_of(sub_bits)),
          cells_(static_cast<std::size_t>(rows * columns_)), sums_(static_cast<std::size_t>(rows)) {}

    void add(Int row, Int value) {
        const Int column = column_of(value, sub_bits_);
        if (column >= columns_) {
            std::fprintf(stderr, "a latency of %lld ns is too long\n", static_cast<long long>(value));
            std::exit(2);
        }
        ++cells_[static_cast<std::size_t>(row * columns_ + column)];
        sums_[static_cast<std::size_t>(row)] += value;
    }

    Int sum() const {
        Int total = 0;
        for (const Int value : sums_) total += value;
        return total;
    }

  private:
    Int sub_bits_, columns_;
    std::vector<Small> cells_;
    std::vector<Int> sums_;
};

class Timeline {
  public:
    void add(Int now, Int latency) {
        while (now >= width_ * BINS) fold();
        const auto bin = static_cast<std::size_t>(now / width_);
        ++answers_[bin];
        latency_[bin] += latency;
    }

  private:
    static constexpr Int BINS = 512;

    void fold() {
        width_ *= 2;
        for (auto* bins : {&answers_, &latency_}) {
            for (std::size_t n = 0; n < BINS / 2; ++n) (*bins)[n] = (*bins)[2 * n] + (*bins)[2 * n + 1];
            std::fill(bins->begin() + BINS / 2, bins->end(), 0);
        }
    }

    Int width_ = 1 << 20;
    std::array<Int, BINS> answers_{}, latency_{};
};

// The engine ------------------------------------------------------------------------------------------------------

class Engine {
  public:
    Engine(const Arrays& plan, Key seed, Int requests, Int first)
        : laws_(plan["laws"]), pod_service_(plan["pod_service"]), entry_threshold_(plan["entry_threshold"]),
          slots_(static_cast<std::size_t>(plan.one("slots"))), tags_(plan.one("tags")),
          gap_mean_(plan["gap_mean"].at(0)), gap_law_(plan.one("gap_law")), shift_(plan.one("shift")),
          purpose_gap_(plan.one("purpose_gap")), purpose_entry_(plan.one("purpose_entry")),
          purpose_replica_(plan.one("purpose_replica")), purpose_waypoint_(plan.one("purpose_waypoint")),
          root_key_(child_key(seed, 0)), first_(first), last_(first + requests - 1), measured_(requests),
          latency_(plan.one("entries") * BATCHES, SUB_BITS),
          call_latency_(static_cast<Int>(plan["call_program"].size()), CALL_SUB_BITS),
          cpu_(static_cast<std::size_t>(plan.one("cpu_cells"))) {
        const Column &op = plan["op"], &at = plan["at"], &other = plan["other"], &when = plan["when"];
        const Column &slot = plan["slot"], &target = plan["target"], &mean = plan["mean_ns"], &law = plan["law"];
        const Column &tag = plan["tag"], &purpose = plan["purpose"], &amount = plan["amount"];
        for (std::size_t i = 0; i < op.size(); ++i) {
            program_.push_back({mean[i], amount[i], static_cast<Key>(purpose[i] + 1) * STRIDE, small(op[i]),
                                small(at[i]), small(other[i]), small(when[i]), small(slot[i]), small(target[i]),
                                small(law[i]), small(tag[i]), small(purpose[i])});
        }
        const Column &servers = plan["station_servers"], &slice = plan["station_slice_ns"];
        stations_.resize(servers.size());
        for (std::size_t i = 0; i < servers.size(); ++i) {
            stations_[i].slice_ns = slice[i];
            stations_[i].servers = stations_[i].free = small(servers[i]);
        }
        for (const Int station : plan["pod_station"]) pod_station_.push_back(small(station));
        for (const Int zone : plan["pod_zone"]) pod_zone_.push_back(small(zone));
        const Column &first_pod = plan["service_first_pod"], &pods = plan["service_pods"];
        const Column &first_via = plan["service_first_via"], &vias = plan["service_vias"];
        for (std::size_t i = 0; i < pods.size(); ++i) {
            services_.push_back({small(first_pod[i]), small(pods[i]), small(first_via[i]), small(vias[i])});
        }
        const Column &start = plan["call_program"], &service = plan["call_service"], &body = plan["call_body"];
        const Column& back = plan["call_back"];
        for (std::size_t i = 0; i < start.size(); ++i) {
            calls_.push_back({small(start[i]), small(service[i]), small(body[i]), small(back[i])});
        }
    }

    void run() {
        schedule_request(0);
        while (true) {
            while (ready_.length > 0) step(first_in_line(ready_));
            if (answered_measured_ == measured_) return;
            while (!events_.at_hand()) {
                events_.open_next(
                    now_, happened_, [this](Small frame) { frames_.touch(frame); },
                    [this](const Event& event) { touch_threads(event); });
            }
            const Event event = events_.take_first();
            ++happened_;
            now_ = event.time;
            if (event.order >= OF_A_FRAME) {
                Frame& frame = frames_[event.about];
                if (instruction(frame.pc).op == WAIT) {
                    ++frame.pc;
                    join_line(ready_, event.about);
                } else {
                    end_turn(event.about);
                }
            } else {
                const Int number = (event.order & (ARRIVAL - 1)) >> 20;
                schedule_request(number + 1);
                arrive(number);
            }
        }
    }

    void print(double cpu_seconds) const {
        Int arrivals = 0, busy = 0, present = 0, charged = 0;
        for (const Station& station : stations_) {
            arrivals += station.arrivals;
            busy += station.busy_ns + (station.servers - station.free) * (now_ - station.seen_at);
            present += station.present_ns + station.present * (now_ - station.seen_at);
        }
        for (const Int ns : cpu_at_end_) charged += ns;
        for (const Int ns : cpu_at_start_) charged -= ns;
        std::printf("{\"events\": %lld, \"answered\": %lld, \"sent\": %lld, \"end_ns\": %lld, \"latency_sum_ns\": %lld, "
                    "\"call_sum_ns\": %lld, \"arrivals\": %lld, \"busy_ns\": %lld, \"present_ns\": %lld, "
                    "\"cpu_ns\": %lld, \"cpu_seconds\": %.9f}\n",
                    show(happened_), show(answered_), show(sent_), show(now_), show(latency_.sum()),
                    show(call_latency_.sum()), show(arrivals), show(busy), show(present), show(charged), cpu_seconds);
    }

  private:
    static Small small(Int value) { return static_cast<Small>(value); }
    static long long show(Int value) { return value; }

    const Instruction& instruction(Small pc) const { return program_[static_cast<std::size_t>(pc)]; }

    // Load ------------------------------------------------------------------------------------------------------

    void schedule_request(Int number) {
        const Int unit = gap_law_ < 0 ? Int{1} << FRACTION_BITS
                                      : draw_unit(gap_law_, draw(child_key(root_key_, number), purpose_gap_));
        clock_ += std::max(Int{1}, (gap_mean_ * unit + HALF) >> FRACTION_BITS);
        events_.push({clock_ >> shift_, ARRIVAL | number << 20, 0, 0});
    }

    // The threads of the pod that a frame calls will be asked for, or given back.
    void touch_threads(const Event& event) {
        if (stations_.size() <= MANY_STATIONS || event.order < OF_A_FRAME) return;
        const Small pod = frames_[event.about].pods[DESTINATION];
        if (pod < 0) return;
        const auto number = static_cast<std::size_t>(station_number(pod, THREADS_SLOT));
        const char* station = reinterpret_cast<const char*>(stations_.data() + number);
        __builtin_prefetch(station);
        __builtin_prefetch(station + 64);
    }

    void arrive(Int number) {
        ++sent_;
        if (number == first_) cpu_at_start_ = cpu_;
        if (number == last_) cpu_at_end_ = cpu_;
        const Small request = requests_.take();
        requests_[request] = {number, 0, 0, -1};
        const Key key = child_key(root_key_, number);
        const Int share = high(draw(key, purpose_entry_));
        Small call = 0;
        while (share >= entry_threshold_[static_cast<std::size_t>(call)]) ++call;
        start_call(request, -1, call, child_key(key, call));
    }

    // Random times ----------------------------------------------------------------------------------------------

    Int draw_unit(Int law, Key h) const {
        const Int* table = laws_.data() + law * POINTS;
        const Int octave = std::countl_zero(h);
        if (octave >= OCTAVES) return table[POINTS - 1];
        const Key rest = h << (octave + 1);
        const Int index = (octave << 6) + 63 - static_cast<Int>(rest >> 58);
        const Int low = table[index], part = 0x1000000 - static_cast<Int>((rest >> 34) & 0xFFFFFF);
        return low + (((table[index + 1] - low) * part) >> 24);
    }

    Int time_of(const Frame& frame, const Instruction& i) const {
        if (i.law == COLD) return std::max(Int{1}, i.mean_ns * frame.slept / (frame.slept + i.amount));
        if (i.law < 0) return i.mean_ns;
        return std::max(Int{1}, (i.mean_ns * draw_unit(i.law, mix(frame.key ^ i.stride)) + HALF) >> FRACTION_BITS);
    }

    // Frames ----------------------------------------------------------------------------------------------------

    Small new_frame(Small request, Small parent, Small pc, Key key) {
        const Small number = frames_.take();
        Frame& frame = frames_[number];
        Request& whole = requests_[request];
        frame = Frame{};
        frame.key = key;
        frame.order = whole.number << 20 | whole.frames;
        frame.pc = pc;
        frame.parent = parent;
        frame.request = request;
        ++whole.frames;
        ++whole.references;
        return number;
    }

    void start_call(Small request, Small parent, Small number, Key key) {
        const Call& call = calls_[static_cast<std::size_t>(number)];
        const Service& service = services_[static_cast<std::size_t>(call.service)];
        const Small child = new_frame(request, parent, call.program, key);
        Frame& frame = frames_[child];
        frame.call = number;
        frame.pods[DESTINATION] = service.first_pod;
        if (service.pods > 1) frame.pods[DESTINATION] += small(high(draw(key, purpose_replica_)) * service.pods >> 32);
        frame.pods[VIA] = -1;
        if (service.first_via >= 0) {
            frame.pods[VIA] = service.first_via + small(high(draw(key, purpose_waypoint_)) * service.vias >> 32);
        }
        frame.pods[SOURCE] = parent < 0 ? -1 : frames_[parent].pods[DESTINATION];
        start(child);
    }

    void start_beside(Small parent, Small pc, bool detached) {
        const Small child = new_frame(frames_[parent].request, parent, pc, frames_[parent].key);
        Frame& frame = frames_[child];
        frame.held_since = frames_[parent].held_since;
        frame.pods = frames_[parent].pods;
        frame.detached = detached;
        start(child);
    }

    void start(Small number) {
        Frame& frame = frames_[number];
        frame.began = now_;
        if (frame.parent >= 0 && !frame.detached) ++frames_[frame.parent].children;
        join_line(ready_, number);
    }

    void end(Small number) {
        const Frame& frame = frames_[number];
        if (frame.call >= 0) {
            const Int request = frame.order >> 20;
            if (first_ <= request && request <= last_) call_latency_.add(frame.call, now_ - frame.began);
        }
        if (frame.parent < 0) {
            answered(frame);
        } else if (!frame.detached) {
            Frame& parent = frames_[frame.parent];
            if (--parent.children == 0 && parent.joining) {
                parent.joining = false;
                ++parent.pc;
                join_line(ready_, frame.parent);
            }
        }
        Request& request = requests_[frame.request];
        if (--request.references == 0) requests_.give_back(frame.request);
        frames_.give_back(number);
    }

    void answered(const Frame& frame) {
        const Int latency = now_ - frame.began, number = frame.order >> 20;
        timeline_.add(now_, latency);
        ++answered_;
        if (number < first_ || number > last_) return;
        ++answered_measured_;
        latency_.add(frame.call * BATCHES + (number - first_) * BATCHES / measured_, latency);
    }

    void join_line(Line& line, Small number) {
        frames_[number].next = -1;
        if (line.length == 0) {
            line.head = number;
        } else {
            frames_[line.tail].next = number;
        }
        line.tail = number;
        ++line.length;
    }

    Small first_in_line(Line& line) {
        const Small number = line.head;
        line.head = frames_[number].next;
        --line.length;
        return number;
    }

    // Conditions and places -------------------------------------------------------------------------------------

    Small station_number(Small pod, Small slot) const {
        return pod_station_[static_cast<std::size_t>(pod) * slots_ + static_cast<std::size_t>(slot)];
    }

    Station& station(const Frame& frame, Small place, Small slot) {
        const Small pod = frame.pods[static_cast<std::size_t>(place)];
        return stations_[static_cast<std::size_t>(station_number(pod, slot))];
    }

    bool holds(const Frame& frame, const Instruction& i) const {
        if (i.when == ALWAYS) return true;
        if (i.when == WOKEN) return frame.woken;
        const Small one = frame.pods[static_cast<std::size_t>(i.at)];
        const Small two = frame.pods[static_cast<std::size_t>(i.other)];
        const Small here = one < 0 ? -1 : station_number(one, CPU_SLOT);
        const Small there = two < 0 ? -1 : station_number(two, CPU_SLOT);
        if (i.when < SAME_ZONE) return (here == there) == (i.when == SAME_NODE);
        const bool near = here < 0 || there < 0 ||
                          pod_zone_[static_cast<std::size_t>(one)] == pod_zone_[static_cast<std::size_t>(two)];
        return here != there && near == (i.when == SAME_ZONE);
    }

    // Cores -----------------------------------------------------------------------------------------------------

    Int gather_work(const Frame& frame) const {
        Int total = time_of(frame, instruction(frame.pc));
        for (Small pc = frame.pc + 1; instruction(pc).op == MORE; ++pc) {
            if (holds(frame, instruction(pc))) total += time_of(frame, instruction(pc));
        }
        return total;
    }

    void ask_for_core(Small number, Station& cores) {
        cores.enter(now_);
        Frame& frame = frames_[number];
        if (frame.kept) {
            frame.kept = false;
            begin_turn(number, cores);
            return;
        }
        frame.ran = 0;
        if (cores.free == 0) {
            join_line(cores.line, number);
            return;
        }
        --cores.free;
        begin_turn(number, cores);
    }

    void begin_turn(Small number, Station& cores) {
        Frame& frame = frames_[number];
        Int turn = frame.left;
        if (cores.slice_ns > 0) {
            turn = std::min(turn, cores.slice_ns - frame.ran);
            frame.ran += small(turn);
        }
        frame.left -= turn;
        cores.turns_ns += turn;
        cores.turn_ends += now_ + turn;
        ++cores.turns;
        events_.push({now_ + turn, OF_A_FRAME | frame.order, number, 0});
    }

    void end_turn(Small number) {
        Frame& frame = frames_[number];
        Station& cores = station(frame, instruction(frame.pc).at, CPU_SLOT);
        --cores.turns;
        cores.turn_ends -= now_;
        if (frame.left > 0) {
            frame.ran = 0;
            join_line(cores.line, number);
            next_turn(cores);
            return;
        }
        const Small behind = charge(frame);
        cores.leave(frame.since, now_);
        frame.pc = behind;
        frame.kept = keeps_core(frame, cores);
        if (!frame.kept) next_turn(cores);
        join_line(ready_, number);
    }

    // A thread that has somebody else to serve, and time left in its slice, stays where it is.
    bool keeps_core(const Frame& frame, const Station& cores) {
        const Instruction& i = instruction(frame.pc);
        if (i.op != RELEASE || i.when != ALWAYS || frame.ran >= cores.slice_ns) return false;
        return station(frame, i.at, i.slot).line.length > 0;
    }

    void next_turn(Station& cores) {
        if (cores.line.length > 0) {
            begin_turn(first_in_line(cores.line), cores);
            return;
        }
        cores.up_to(now_);
        ++cores.free;
    }

    Small charge(const Frame& frame) {
        const Small pod = frame.pods[static_cast<std::size_t>(instruction(frame.pc).at)];
        Int* account = cpu_.data() + pod_service_[static_cast<std::size_t>(pod)] * tags_;
        account[instruction(frame.pc).tag] += time_of(frame, instruction(frame.pc));
        Small behind = frame.pc + 1;
        for (; instruction(behind).op == MORE; ++behind) {
            const Instruction& part = instruction(behind);
            if (holds(frame, part)) account[part.tag] += time_of(frame, part);
        }
        return behind;
    }

    // Tokens ----------------------------------------------------------------------------------------------------

    bool acquire(Small number, Station& pool) {
        Frame& frame = frames_[number];
        frame.held_since = now_;
        pool.enter(now_);
        if (pool.free == 0) {
            join_line(pool.line, number);
            return false;
        }
        --pool.free;
        frame.woken = true;
        frame.slept = small(std::min(now_ - pool.asleep_since, LONGEST_SLEEP));
        ++frame.pc;
        return true;
    }

    void release(Small number, Station& pool) {
        Frame& frame = frames_[number];
        pool.leave(frame.held_since, now_);
        Station* core = frame.kept ? &station(frame, instruction(frame.pc).at, CPU_SLOT) : nullptr;
        frame.kept = false;
        ++frame.pc;
        if (pool.line.length == 0) {
            ++pool.free;
            pool.asleep_since = now_;
            if (core != nullptr) next_turn(*core);
            return;
        }
        const Small following = first_in_line(pool.line);
        Frame& next = frames_[following];
        next.woken = false;
        ++next.pc;
        join_line(ready_, following);
        if (core == nullptr) return;
        if (works_next(next)) {
            next.kept = true;
            next.ran = frame.ran;
        } else {
            next_turn(*core);
        }
    }

    bool works_next(const Frame& frame) const {
        Small pc = frame.pc;
        while (!holds(frame, instruction(pc))) pc = instruction(pc).op == DETACH ? instruction(pc).target : pc + 1;
        return instruction(pc).op == WORK || instruction(pc).op == MORE;
    }

    // A frame, until it has to wait ------------------------------------------------------------------------------

    void step(Small number) {
        while (true) {
            Frame& frame = frames_[number];
            const Instruction& i = instruction(frame.pc);
            if (!holds(frame, i)) {
                frame.pc = i.op == DETACH ? i.target : frame.pc + 1;
                continue;
            }
            switch (i.op) {
                case WORK:
                case MORE:
                    frame.since = now_;
                    frame.left = gather_work(frame);
                    ask_for_core(number, station(frame, i.at, CPU_SLOT));
                    return;
                case WAIT:
                    frame.since = now_;
                    events_.push({now_ + time_of(frame, i), OF_A_FRAME | frame.order, number, 0});
                    return;
                case ACQUIRE:
                    frame.since = now_;
                    if (!acquire(number, station(frame, i.at, i.slot))) return;
                    break;
                case RELEASE:
                    release(number, station(frame, i.at, i.slot));
                    break;
                case START: {
                    const Key key = frame.key;
                    ++frame.pc;  // starting a frame may move them all
                    if (i.amount >> 32 || high(mix(key ^ i.stride)) < i.amount) {
                        start_call(frame.request, number, i.target, child_key(key, i.purpose));
                    }
                    break;
                }
                case JOIN:
                    frame.since = now_;
                    if (frame.children > 0) {
                        frame.joining = true;
                        return;
                    }
                    ++frame.pc;
                    break;
                case BODY:
                    frame.pc = calls_[static_cast<std::size_t>(frame.call)].body;
                    break;
                case RETURN:
                    frame.pc = calls_[static_cast<std::size_t>(frame.call)].back;
                    break;
                case END:
                    end(number);
                    return;
                case SPAWN:
                case DETACH: {
                    const Small block = frame.pc + 1;
                    frame.pc = i.target;
                    start_beside(number, block, i.op == DETACH);
                    break;
                }
                default:
                    std::fprintf(stderr, "instruction %d is not in the subset\n", i.op);
                    std::exit(2);
            }
        }
    }

    std::vector<Instruction> program_;
    std::vector<Station> stations_;
    std::vector<Small> pod_station_, pod_zone_;
    std::vector<Service> services_;
    std::vector<Call> calls_;
    Column laws_, pod_service_, entry_threshold_;
    std::size_t slots_;
    Int tags_, gap_mean_, gap_law_, shift_, purpose_gap_, purpose_entry_, purpose_replica_, purpose_waypoint_;
    Key root_key_;
    Int first_, last_, measured_;

    Pool<Frame> frames_;
    Pool<Request> requests_;
    Events events_;
    Line ready_;
    Int now_ = 0, clock_ = 0, happened_ = 0, sent_ = 0, answered_ = 0, answered_measured_ = 0;

    Histogram latency_, call_latency_;
    Timeline timeline_;
    Column cpu_, cpu_at_start_, cpu_at_end_;
};

double cpu_seconds() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: engine PLAN SEED REQUESTS FIRST\n");
        return 2;
    }
    const Arrays plan(argv[1]);
    const double begun = cpu_seconds();
    Engine engine(plan, std::strtoull(argv[2], nullptr, 10), std::atoll(argv[3]), std::atoll(argv[4]));
    engine.run();
    engine.print(cpu_seconds() - begun);
}

// Exceptions as C++ programs use them, with the real C++ runtime: prints one line per case.
//
// Rebuilt by tests/guests/exceptions.sh, once with the newer operators and once with the older.

#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

int destroyed = 0;

struct Guard {
    ~Guard() { ++destroyed; }
};

struct Base {
    virtual ~Base() = default;
    virtual const char *name() const { return "base"; }
};

struct Side {
    virtual ~Side() = default;
    long weight = 7;
};

struct Derived : Side, Base {
    const char *name() const override { return "derived"; }
};

[[gnu::noinline]] void raise(int what) {
    Guard guard;
    switch (what) {
    case 0: throw 42;
    case 1: throw std::runtime_error("out of " + std::string("luck"));
    case 2: throw Derived();
    case 3: throw static_cast<const char *>("text");
    case 4: throw std::make_unique<int>(99);
    default: return;
    }
}

[[gnu::noinline]] std::string kind(int what) {
    Guard guard;
    try {
        raise(what);
        return "nothing";
    } catch (int number) {
        return "int " + std::to_string(number);
    } catch (const std::exception &error) {
        return std::string("exception ") + error.what();
    } catch (const Base &base) {
        return std::string("object ") + base.name();
    } catch (const char *text) {
        return std::string("string ") + text;
    } catch (...) {
        return "something";
    }
}

[[gnu::noinline]] int deep(int depth) {
    Guard guard;
    if (depth == 0) throw std::vector<int>{1, 2, 3};
    return deep(depth - 1) + 1;
}

// Throws while it cleans up after another exception.
struct Cleaner {
    int &result;
    ~Cleaner() {
        try {
            throw 5;
        } catch (int number) {
            result += number;
        }
    }
};

int nested() {
    int result = 0;
    try {
        try {
            Cleaner cleaner{result};
            throw 10;
        } catch (int number) {
            result += number;
            throw; // The same again.
        }
    } catch (int number) {
        result += 100 * number;
    }
    return result;
}

int carried() {
    std::exception_ptr kept;
    try {
        raise(1);
    } catch (...) {
        kept = std::current_exception();
    }
    try {
        std::rethrow_exception(kept);
    } catch (const std::runtime_error &error) {
        return static_cast<int>(std::string(error.what()).size());
    }
    return -1;
}

bool at_end() noexcept {
    return std::uncaught_exceptions() == 0;
}

} // namespace

int main(int argc, char **) {
    for (int what = 0; what <= 5; ++what) std::printf("%d: %s\n", what, kind(what).c_str());
    try {
        std::printf("%d\n", deep(1000));
    } catch (const std::vector<int> &values) {
        std::printf("deep: %zu values, %d destroyed\n", values.size(), destroyed);
    }
    std::printf("nested: %d\n", nested());
    std::printf("carried: %d\n", carried());
    long sum = 0;
    for (int i = 0; i < 100000; ++i) {
        try {
            if (i % 3 == 0) throw i;
            sum += 1;
        } catch (int number) {
            sum += number;
        }
    }
    std::printf("loop: %ld\n", sum);
    std::printf("in flight: %s\n", at_end() ? "none" : "some");
    if (argc > 1) {
        std::fflush(stdout);
        throw std::logic_error("nobody catches this");
    }
    return 7;
}

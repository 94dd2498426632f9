#include "common/base/text.hpp"

#include <catch2/catch.hpp>
#include <set>
#include <utility>

#include "common/base/ids.hpp"

using namespace fleet::base;
using namespace std::string_literals;

TEST_CASE("text: well-formed UTF-8 is told from malformed") {
  for (const auto& good : {""s, "abc"s, "é"s, "€"s, "😀"s, "\xEF\xBF\xBD"s, "\xF4\x8F\xBF\xBF"s, "a\0b"s}) {
    CAPTURE(good);
    CHECK(is_valid_utf8(good));
  }
  for (const auto& bad : {"\x80"s, "\xC3"s, "\xC0\xAF"s, "\xC1\xBF"s, "\xE0\x80\x80"s, "\xED\xA0\x80"s, "\xE2\x82"s,
                          "\xF0\x80\x80\x80"s, "\xF4\x90\x80\x80"s, "\xF5\x80\x80\x80"s, "\xFF"s, "ok\xE2\x28\xA1"s}) {
    CAPTURE(bad);
    CHECK_FALSE(is_valid_utf8(bad));
  }
}

TEST_CASE("text: an id has 1 to 200 bytes of UTF-8 without control characters") {
  for (const auto& good : {"a"s, "prop-1"s, "with blank"s, "日本"s, "\xC2\xA0"s, std::string(200, 'x')}) {
    CAPTURE(good);
    CHECK(is_valid_id(good));
  }
  for (const auto& bad : {""s, "a\nb"s, "a\tb"s, "\0"s, "\x7F"s, "\x1B[0m"s, "\xC2\x85"s, "\xC2\x9B"s, "\xFF"s,
                          std::string(201, 'x'), std::string(10'240, 'x')}) {
    CAPTURE(bad);
    CHECK_FALSE(is_valid_id(bad));
  }
}

TEST_CASE("text: trim and split") {
  CHECK(trim(" \t a b \r\n") == "a b");
  CHECK(trim(" \n").empty());
  CHECK(split("a,,b", ',') == std::vector<std::string>{"a", "", "b"});
  CHECK(split("", ',') == std::vector<std::string>{""});
  CHECK(split("a,", ',') == std::vector<std::string>{"a", ""});
}

TEST_CASE("text: abbreviate cuts at the border of a character") {
  CHECK(abbreviate("abc", 3) == "abc");
  CHECK(abbreviate("abcd", 3) == "abc…");
  CHECK(abbreviate("aéb", 2) == "a…");
  CHECK(abbreviate("aéb", 3) == "aé…");
  CHECK(abbreviate("😀😀", 5) == "😀…");
}

TEST_CASE("text: passwords are masked, and nothing else") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"postgresql://user:secret@host/db", "postgresql://user:***@host/db"},
      {"postgresql://:secret@host", "postgresql://:***@host"},
      {"a postgres://u:p1@h and postgres://v:p2@i", "a postgres://u:***@h and postgres://v:***@i"},
      {"postgresql://user@host:5432/db", "postgresql://user@host:5432/db"},
      {"http://127.0.0.1:4001/readyz", "http://127.0.0.1:4001/readyz"},
      {"http://a:1/ mail me@example.org", "http://a:1/ mail me@example.org"},
      {"host=db password=secret user=u", "host=db password=*** user=u"},
      {"PASSWORD = secret", "PASSWORD = ***"},
      {"password='two words' user=u", "password=*** user=u"},
      {R"(password='it\'s' user=u)", "password=*** user=u"},
      {"PGPASSWORD=secret", "PGPASSWORD=***"},
      {"postgresql://h/db?password=secret&user=u", "postgresql://h/db?password=***&user=u"},
      {"password=", "password="},
      {"the password is wrong", "the password is wrong"},
      {"", ""},
  };
  for (const auto& [text, masked] : cases) CHECK(mask_secrets(text) == masked);
}

TEST_CASE("text: masking a text of a megabyte neither overflows the stack nor takes long") {
  CHECK(mask_secrets("://" + std::string(1'000'000, 'a')).size() == 1'000'003);
  std::string hostile;
  for (int i = 0; i < 100'000; ++i) hostile += "://:";
  CHECK(mask_secrets(hostile) == hostile);
}

TEST_CASE("text: what could steer a terminal is shown as a question mark") {
  CHECK(printable("plain, ä € 語") == "plain, ä € 語");
  CHECK(printable("\x1b[2J\x7f\n") == "?[2J??");
  CHECK(printable("a\u009b2J\u0080b") == "a?2J?b");
  CHECK(printable("a\u202eb\u2066c\u200fd") == "a?b?c?d");
  CHECK(printable("\u200d\u2065") == "\u200d\u2065");
  CHECK(printable("\xc2") == "\xc2");
}

TEST_CASE("text: what is stored is valid UTF-8 without zero bytes, and the rest as it was") {
  CHECK(storable("plain,\n\t ä € 語") == "plain,\n\t ä € 語");
  CHECK(storable(std::string_view("a\0b\xffü\xc3", 7)) == "a?b?ü?");
  CHECK(storable("\xe2\x82") == "??");
  CHECK(storable("").empty());
}

TEST_CASE("text: the tail of what a program said is text, whatever it said") {
  CHECK(tail_of("  all\nof it \n") == "all\nof it");
  CHECK(tail_of(std::string_view("a\0b\x1b\xff", 5)) == "a b ?");
  std::string lines(100, 'x');
  lines.append("\nlast line");
  CHECK(tail_of(lines, 14) == "… last line");
  lines.append("ü");
  CHECK(tail_of(lines, 1) == "… ");
  CHECK(tail_of("a\x1b[31mb") == "a [31mb");
}

TEST_CASE("ids: a new UUID is of version 4, in its usual form, and another one each time") {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const auto uuid = new_uuid();
    CHECK(uuid.size() == 36);
    CHECK(uuid[8] == '-');
    CHECK(uuid[14] == '4');
    seen.insert(uuid);
  }
  CHECK(seen.size() == 100);
}

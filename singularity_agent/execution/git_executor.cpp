#include "singularity_agent/execution/git_executor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "common/messages/git_change.hpp"
#include "singularity_agent/execution/change_builder.hpp"
#include "singularity_agent/execution/child_process.hpp"
#include "singularity_agent/execution/git_repository.hpp"

namespace fleet::agent::execution {

namespace asio = boost::asio;

namespace {

using milliseconds = std::chrono::milliseconds;

class stopwatch {
 public:
  milliseconds elapsed() const {
    return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start_);
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

base::error conflict(std::string message) {
  return base::make_error(base::error_kind::conflict, std::move(message));
}

base::error wrong_field(std::string field, std::string message) {
  std::vector<base::field_error> fields;
  fields.push_back({std::move(field), std::move(message)});
  return base::invalid_fields(std::move(fields));
}

/// Everything that can be said about the change without the repository.
base::result<messages::git_change> checked_change(const change_order& what, std::size_t max_patch_bytes) {
  if (!fits_in_trailer(what.proposal.str()))
    return wrong_field("proposal_id", "expected 1-200 characters without white space at the ends");
  auto change = messages::parse_git_change(what.code_change);
  if (!change) return change.error();
  if (change->patch && change->patch->size() > max_patch_bytes)
    return wrong_field("code_change.patch",
                       fmt::format("has {} bytes; at most {} are taken", change->patch->size(), max_patch_bytes));
  if (change->base && !is_commit_name(*change->base))
    return wrong_field("code_change.base", "expected a commit id of 7-64 hexadecimal digits");
  const auto paths = messages::paths_of(*change);
  if (!paths) return paths.error();
  return change;
}

std::vector<std::string> names_of(const std::vector<changed_path>& changes) {
  std::vector<std::string> names;
  names.reserve(changes.size());
  for (const auto& changed : changes) names.push_back(changed.path);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

struct git_executor::parts {
  git_executor_options options;
  operation_lock lock;
  git_repository repository;

  struct turn {
    operation_lock::held order;
    git_repository::claim claim;
    std::vector<std::string> mended;
  };

  parts(asio::any_io_executor io, git_executor_options given)
      : options(std::move(given)),
        lock(io),
        repository(io, git_runner({options.repository, options.author_name, options.author_email, options.git_timeout}),
                   options.foreign_timeout) {}

  asio::awaitable<base::result<turn>> enter(lane where) {
    auto order = co_await lock.acquire(where, options.lock_timeout);
    if (!order) co_return order.error();
    std::vector<std::string> mended;
    auto claim = co_await repository.enter(mended);
    if (!claim) co_return claim.error();
    turn taken{std::move(*order), std::move(*claim), std::move(mended)};
    co_return std::move(taken);
  }

  std::vector<trailer> trailers(std::string key, const base::proposal_id& proposal) const {
    std::vector<trailer> made{{std::move(key), proposal.str()}};
    if (!options.instance.empty()) made.push_back({"Instance-Id", options.instance});
    return made;
  }

  asio::awaitable<base::result<applied_change>> describe(std::string parent, std::string commit);
  asio::awaitable<base::result<std::optional<applied_change>>> found_before(base::proposal_id proposal);
  asio::awaitable<base::result<applied_change>> applied_or(base::error failed, base::proposal_id proposal);
  asio::awaitable<base::result<std::string>> build(messages::git_change change, std::string head);
  asio::awaitable<base::result<std::string>> build_on_base(messages::git_change change, std::string base,
                                                           std::string head);
  asio::awaitable<base::result<void>> check_kinds(std::string head, std::string tree);
  asio::awaitable<base::result<applied_change>> apply(change_order what, messages::git_change change);
  asio::awaitable<base::result<reverted_change>> revert(base::proposal_id proposal);
  asio::awaitable<base::result<reverted_change>> revert_commit(base::proposal_id proposal, marked_commit applied);
  asio::awaitable<base::result<reverted_change>> undo(base::proposal_id proposal);
  asio::awaitable<bool> holds_nothing_of(base::proposal_id proposal) const;
};

asio::awaitable<base::result<applied_change>> git_executor::parts::describe(std::string parent, std::string commit) {
  auto changes = co_await repository.changes(parent, commit);
  if (!changes) co_return changes.error();
  auto stat = co_await repository.diffstat(parent, commit);
  if (!stat) co_return stat.error();
  applied_change made;
  made.base_commit = std::move(parent);
  made.commit = std::move(commit);
  made.paths = names_of(*changes);
  made.diffstat = std::move(*stat);
  co_return made;
}

asio::awaitable<base::result<std::optional<applied_change>>> git_executor::parts::found_before(
    base::proposal_id proposal) {
  std::optional<applied_change> none;
  auto marks = co_await repository.find_marks(proposal);
  if (!marks) co_return marks.error();
  if (marks->reverted)
    co_return conflict(fmt::format("proposal {} was applied and taken back by {:.12}; it is not applied twice",
                                   proposal.str(), marks->reverted->commit));
  if (!marks->applied) co_return none;
  if (marks->applied->parents.size() != 1)
    co_return conflict(fmt::format("commit {:.12} carries the mark of proposal {} and is a merge or a first commit",
                                   marks->applied->commit, proposal.str()));
  auto described = co_await describe(marks->applied->parents[0], marks->applied->commit);
  if (!described) co_return described.error();
  described->already_applied = true;
  std::optional<applied_change> found(std::move(*described));
  co_return found;
}

/// What to say after something failed: if the commit is in place nevertheless, it is applied, and has to be verified
/// and watched like any other.
asio::awaitable<base::result<applied_change>> git_executor::parts::applied_or(base::error failed,
                                                                              base::proposal_id proposal) {
  auto found = co_await found_before(std::move(proposal));
  if (found && *found) co_return std::move(**found);
  co_return failed;
}

/// A change that names the commit it was made against is made there and merged into what came since; one that does not
/// has to fit as it is.
asio::awaitable<base::result<std::string>> git_executor::parts::build(messages::git_change change, std::string head) {
  std::optional<std::string> onto;
  if (change.base) {
    auto known = co_await repository.resolve(*change.base);
    if (!known) co_return known.error();
    onto = *known;
    // Whole files replace what is there: without the base nobody can say whether that loses a later change.
    if (!onto && !change.patch)
      co_return conflict("code_change.base: commit " + *change.base + " is not known in this repository");
  }
  if (onto && *onto != head) {
    auto merged = co_await build_on_base(std::move(change), *onto, head);
    co_return merged;
  }
  change_builder builder(repository);
  auto tree = co_await builder.tree_with(std::move(change), head);
  co_return tree;
}

asio::awaitable<base::result<std::string>> git_executor::parts::build_on_base(messages::git_change change,
                                                                              std::string base, std::string head) {
  change_builder builder(repository);
  auto tree = co_await builder.tree_with(std::move(change), base);
  if (!tree) co_return tree.error();
  auto made = co_await builder.commit(*tree, base, "change");
  if (!made) co_return made.error();
  change_builder::three_way commits;
  commits.base = base;
  commits.ours = head;
  commits.theirs = *made;
  auto merged = co_await builder.merged_tree(commits);
  co_return merged;
}

/// The last word on what the change does, from git itself and not from a reading of the patch.
asio::awaitable<base::result<void>> git_executor::parts::check_kinds(std::string head, std::string tree) {
  auto changes = co_await repository.changes(head, tree);
  if (!changes) co_return changes.error();
  if (changes->empty()) co_return conflict("the change changes nothing: the repository has this content already");
  for (const auto& changed : *changes) {
    const auto path = messages::check_path(changed.path);
    if (!path) co_return path.error();
    if (!changed.deleted() && !changed.new_mode.starts_with("100"))
      co_return base::make_error(base::error_kind::refused,
                                 changed.path + ": the change makes it a symbolic link or a submodule");
  }
  co_return base::result<void>();
}

asio::awaitable<base::result<applied_change>> git_executor::parts::apply(change_order what,
                                                                         messages::git_change change) {
  auto before = co_await found_before(what.proposal);
  if (!before) co_return before.error();
  if (*before) co_return std::move(**before);
  auto ready = co_await repository.check_ready(options.branch);
  if (!ready) co_return ready.error();
  auto dirty = co_await repository.dirty_paths();
  if (!dirty) co_return dirty.error();
  if (!dirty->empty()) co_return conflict("repository_dirty: not committed: " + list_some(*dirty));
  auto head = co_await repository.head();
  if (!head) co_return head.error();
  const auto text = change.message.value_or(what.description);
  auto tree = co_await build(std::move(change), *head);
  if (!tree) co_return tree.error();
  auto good = co_await check_kinds(*head, *tree);
  if (!good) co_return good.error();
  const auto message =
      commit_message(text, "Apply proposal " + what.proposal.str(), trailers("Proposal-Id", what.proposal));
  change_builder builder(repository);
  auto commit = co_await builder.commit(*tree, *head, message);
  if (!commit) co_return commit.error();
  auto moved = co_await repository.move_forward(*commit);
  base::result<applied_change> made = applied_change();
  if (moved) {
    made = co_await describe(*head, *commit);
  } else {
    made = moved.error();
  }
  if (!made) made = co_await applied_or(made.error(), what.proposal);
  co_return made;
}

asio::awaitable<base::result<reverted_change>> git_executor::parts::revert(base::proposal_id proposal) {
  auto marks = co_await repository.find_marks(proposal);
  if (!marks) co_return marks.error();
  if (marks->reverted && marks->reverted->parents.size() == 1) {
    auto changes = co_await repository.changes(marks->reverted->parents[0], marks->reverted->commit);
    if (!changes) co_return changes.error();
    reverted_change found;
    found.commit = marks->reverted->commit;
    found.paths = names_of(*changes);
    found.already_reverted = true;
    co_return found;
  }
  if (!marks->applied)
    co_return base::make_error(base::error_kind::not_found, fmt::format("no commit in {} is marked with proposal {}",
                                                                        options.repository.string(), proposal.str()));
  auto reverted = co_await revert_commit(proposal, *marks->applied);
  co_return reverted;
}

asio::awaitable<base::result<reverted_change>> git_executor::parts::revert_commit(base::proposal_id proposal,
                                                                                  marked_commit applied) {
  if (applied.parents.size() != 1)
    co_return conflict(fmt::format("commit {:.12} is a merge or a first commit", applied.commit));
  auto ready = co_await repository.check_ready(options.branch);
  if (!ready) co_return ready.error();
  auto head = co_await repository.head();
  if (!head) co_return head.error();
  change_builder builder(repository);
  change_builder::three_way commits;
  commits.base = applied.commit;
  commits.ours = *head;
  commits.theirs = applied.parents[0];
  auto tree = co_await builder.merged_tree(commits);
  if (!tree) co_return tree.error();
  git_call subject_call;
  subject_call.arguments = {"log", "-1", "--format=%s", applied.commit};
  auto subject = co_await repository.git().word(subject_call);
  if (!subject) co_return subject.error();
  const auto text = fmt::format("Revert \"{}\"\n\nThis reverts commit {}.", *subject, applied.commit);
  const auto message = commit_message(text, text, trailers("Reverts-Proposal-Id", proposal));
  // A commit even where somebody took the content back by hand before: it says, for good, that this is done.
  auto commit = co_await builder.commit(*tree, *head, message);
  if (!commit) co_return commit.error();
  auto moved = co_await repository.move_forward(*commit);
  if (!moved) co_return moved.error();
  auto changes = co_await repository.changes(*head, *commit);
  if (!changes) co_return changes.error();
  reverted_change done;
  done.commit = *commit;
  done.paths = names_of(*changes);
  co_return done;
}

asio::awaitable<base::result<reverted_change>> git_executor::parts::undo(base::proposal_id proposal) {
  auto marks = co_await repository.find_marks(proposal);
  if (!marks) co_return marks.error();
  reverted_change done;
  done.already_reverted = true;
  if (!marks->applied) co_return done;
  auto head = co_await repository.head();
  if (!head) co_return head.error();
  if (marks->reverted || *head != marks->applied->commit || marks->applied->parents.size() != 1) {
    auto reverted = co_await revert(proposal);
    co_return reverted;
  }
  auto ready = co_await repository.check_ready(options.branch);
  if (!ready) co_return ready.error();
  auto changes = co_await repository.changes(*head, marks->applied->parents[0]);
  if (!changes) co_return changes.error();
  auto moved = co_await repository.move_back(*head);
  if (!moved) co_return moved.error();
  done.already_reverted = false;
  done.paths = names_of(*changes);
  co_return done;
}

/// Only looks, so it needs no turn. A move under way has a mark for as long as its commit is not part of the history.
asio::awaitable<bool> git_executor::parts::holds_nothing_of(base::proposal_id proposal) const {
  auto moving = co_await repository.is_moving();
  if (!moving || *moving) co_return false;
  auto marks = co_await repository.find_marks(std::move(proposal));
  co_return marks && !marks->applied;
}

git_executor::git_executor(asio::any_io_executor io, git_executor_options options)
    : parts_(std::make_unique<parts>(std::move(io), std::move(options))) {}

git_executor::~git_executor() = default;

asio::awaitable<base::result<std::vector<std::string>>> git_executor::recover() {
  auto turn = co_await parts_->enter(lane::usual);
  if (!turn) co_return turn.error();
  co_return std::move(turn->mended);
}

asio::awaitable<base::result<applied_change>> git_executor::apply(change_order what) {
  auto change = checked_change(what, parts_->options.max_patch_bytes);
  if (!change) co_return change.error();
  auto turn = co_await parts_->enter(lane::usual);
  if (!turn) co_return turn.error();
  const stopwatch watch;
  auto done = co_await parts_->apply(std::move(what), std::move(*change));
  if (done) done->duration = watch.elapsed();
  co_return done;
}

asio::awaitable<base::result<verification>> git_executor::verify(base::proposal_id proposal) {
  verification found;
  found.passed = found.skipped = parts_->options.verify_command.empty();
  if (found.skipped) co_return found;
  auto turn = co_await parts_->enter(lane::usual);
  if (!turn) co_return turn.error();
  async::process_spec spec;
  spec.shell_command = parts_->options.verify_command;
  spec.working_directory = parts_->options.repository.string();
  spec.environment["PROPOSAL_ID"] = proposal.str();
  spec.environment["INSTANCE_ID"] = parts_->options.instance;
  spec.environment["ACTION"] = "verify";
  spec.timeout = parts_->options.verify_timeout;
  auto ended = co_await try_run(std::move(spec));
  if (!ended) co_return ended.error();
  co_return verification_of(*ended);
}

asio::awaitable<base::result<reverted_change>> git_executor::undo(base::proposal_id proposal, applied_change) {
  auto turn = co_await parts_->enter(lane::urgent);
  if (!turn) {
    // Kept out of the repository: where nothing of the change is in place, nothing has to be undone all the same.
    const auto nothing = co_await parts_->holds_nothing_of(std::move(proposal));
    if (!nothing) co_return turn.error();
    reverted_change done;
    done.already_reverted = true;
    co_return done;
  }
  const stopwatch watch;
  auto done = co_await parts_->undo(std::move(proposal));
  if (done) done->duration = watch.elapsed();
  co_return done;
}

asio::awaitable<base::result<reverted_change>> git_executor::revert(base::proposal_id proposal) {
  auto turn = co_await parts_->enter(lane::urgent);
  if (!turn) co_return turn.error();
  const stopwatch watch;
  auto done = co_await parts_->revert(std::move(proposal));
  if (done) done->duration = watch.elapsed();
  co_return done;
}

}  // namespace fleet::agent::execution

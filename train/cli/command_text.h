#pragma once
// What a program's command line says of itself, all of it from the one table of its options: help, man page,
// completion, and what was meant by a word that is none.

#include <string>
#include <vector>

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace mt::train {

/// --help in lines of at most `columns`: usage, commands, options under their headings, footer. `only`: the
/// options that it shows, in this order, under one heading; empty: all.
std::string help_text(const CLI::App& app, int columns, const std::vector<std::string>& only = {});

/// Columns of the terminal, from 60 to 100; 80 where there is none.
int help_columns();

/// A page for man(1).
std::string man_page(const CLI::App& app);

/// A script for bash: flags, the values of choices, commands, files everywhere else.
std::string bash_completion(const CLI::App& app);

/// What parse() threw: help, a page or the version are printed, and anything else is a UsageError in one
/// sentence, with the flag, command or value that was probably meant, and where to read on. `common`: what
/// --help shows; --help-all shows all.
void answer(const CLI::App& app, const CLI::ParseError& error, const std::vector<std::string>& common = {});

/// Adds --version, and --print-man-page and --print-completion, which packages are made with and --help does
/// not show.
void add_program_flags(CLI::App& app);

}  // namespace mt::train

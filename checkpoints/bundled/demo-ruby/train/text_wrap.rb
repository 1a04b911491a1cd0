# frozen_string_literal: true

# Helpers that fit plain text into columns: wrapping, padding, quoting, truncation.
module TextWrap
  module_function

  # Breaks text into lines that are not longer than +width+ characters.
  #
  # Breaks happen between words only; a word that is too long for a line
  # gets a line of its own.
  def wrap(text, width: 72)
    text.split.each_with_object([]) do |word, lines|
      if lines.any? && lines.last.length + word.length < width
        lines.last << " " << word
      else
        lines << word.dup
      end
    end.join("\n")
  end

  # Wraps every paragraph on its own and keeps the blank lines between them.
  def wrap_paragraphs(text, width: 72)
    text.split(/\n{2,}/).map { |paragraph| wrap(paragraph, width: width) }.join("\n\n")
  end

  # Puts the same indentation in front of each line that is not blank.
  def indent(text, amount, filler: " ")
    text.gsub(/^(?=[^\n])/, filler * amount)
  end

  # Removes the indentation that all non-blank lines have in common.
  def dedent(text)
    margin = text.scan(/^[ \t]*(?=\S)/).map(&:length).min || 0
    text.gsub(/^[ \t]{#{margin}}/, "")
  end

  # Cuts text at a length and ends it with an ellipsis, at a word boundary if possible.
  def truncate(text, length, omission: "...")
    return text if text.length <= length

    room = length - omission.length
    cut = text[0, room]
    boundary = cut.rindex(/\s/)
    cut = cut[0, boundary] if boundary && text[room] !~ /\s/
    cut.rstrip + omission
  end

  # Shortens the middle of a string, so that its beginning and its end stay readable.
  def elide(text, length)
    return text if text.length <= length

    head = (length - 1) / 2
    tail = length - 1 - head
    "#{text[0, head]}~#{text[-tail, tail]}"
  end

  # Places each line in the middle of the given width and strips the trailing blanks.
  def center(text, width)
    text.each_line(chomp: true).map { |line| line.strip.center(width).rstrip }.join("\n")
  end

  # Stretches a line to an exact width by widening its gaps from left to right.
  def justify(line, width)
    words = line.split
    return words.join if words.size < 2

    gaps = words.size - 1
    blanks = width - words.sum(&:length)
    return words.join(" ") if blanks < gaps

    words.each_with_index.map do |word, index|
      next word if index == gaps

      word + " " * (blanks / gaps + (index < blanks % gaps ? 1 : 0))
    end.join
  end

  # Marks every line as a quotation with a leading "> ", as mail programs do.
  def quote(text, depth: 1)
    prefix = "> " * depth
    text.each_line.map { |line| (prefix + line).sub(/[ \t]+$/, "") }.join
  end

  # Draws a frame of ASCII characters around a block of text.
  def box(text)
    lines = text.lines(chomp: true)
    width = lines.map(&:length).max || 0
    border = "+#{"-" * (width + 2)}+"
    body = lines.map { |line| "| #{line.ljust(width)} |" }
    [border, *body, border].join("\n")
  end

  # Lays two blocks of text next to each other with a gap between them.
  def side_by_side(left, right, gap: 2)
    left_lines = left.lines(chomp: true)
    right_lines = right.lines(chomp: true)
    width = left_lines.map(&:length).max.to_i + gap
    height = [left_lines.size, right_lines.size].max
    Array.new(height) { |row| "#{left_lines[row].to_s.ljust(width)}#{right_lines[row]}".rstrip }.join("\n")
  end
end

if __FILE__ == $PROGRAM_NAME
  text = "the quick brown fox jumps over the lazy dog"
  wrapped = TextWrap.wrap(text, width: 15)
  raise "wrap" unless wrapped == "the quick brown\nfox jumps over\nthe lazy dog"
  raise "paragraphs" unless TextWrap.wrap_paragraphs("a b\n\nc d", width: 2) == "a\nb\n\nc\nd"
  raise "indent" unless TextWrap.indent("a\n\nb", 2) == "  a\n\n  b"
  raise "dedent" unless TextWrap.dedent("    a\n\n      b\n") == "a\n\n  b\n"
  raise "truncate" unless TextWrap.truncate(text, 14) == "the quick..." && TextWrap.truncate("hi", 2) == "hi"
  raise "elide" unless TextWrap.elide("abcdefghij", 5) == "ab~ij"
  raise "center" unless TextWrap.center("ab\nabcd", 6) == "  ab\n abcd"
  raise "justify" unless TextWrap.justify("a bb c", 8) == "a  bb  c" && TextWrap.justify("one", 9) == "one"
  raise "quote" unless TextWrap.quote("a\n\nb") == "> a\n>\n> b"
  raise "box" unless TextWrap.box("hi\nyou") == "+-----+\n| hi  |\n| you |\n+-----+"
  raise "columns" unless TextWrap.side_by_side("a\nbb", "x") == "a   x\nbb"
end

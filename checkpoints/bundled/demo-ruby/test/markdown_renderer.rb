# frozen_string_literal: true

require "cgi"

# Translates a small subset of a markdown-like notation into HTML.
class MarkdownRenderer
  Block = Struct.new(:kind, :content, :level)

  # Converts a whole document with default settings.
  def self.to_html(source)
    new.render(source)
  end

  def initialize(heading_ids: false)
    @heading_ids = heading_ids
  end

  # Renders every block of the source and joins the results with line breaks.
  def render(source)
    blocks(source).map { |block| render_block(block) }.join("\n")
  end

  # Divides the source into headings, lists, code, quotes and paragraphs.
  def blocks(source)
    found = []
    lines = source.lines(chomp: true)
    until lines.empty?
      found << take_block(lines) unless lines.first.strip.empty?
      lines.shift if lines.first&.strip&.empty?
    end
    found
  end

  # Builds a nested outline from the headings, as pairs of level and text.
  def outline(source)
    blocks(source).select { |block| block.kind == :heading }
                  .map { |block| [block.level, strip_marks(block.content.first)] }
  end

  # Replaces the marks for emphasis, code and links within one line by HTML tags.
  #
  # Everything else is escaped first, so that no tag of the source survives.
  def inline(text)
    CGI.escapeHTML(text)
       .gsub(/`([^`]+)`/) { "<code>#{Regexp.last_match(1)}</code>" }
       .gsub(/\*\*(.+?)\*\*/, '<strong>\1</strong>')
       .gsub(/\*(.+?)\*/, '<em>\1</em>')
       .gsub(/\[([^\]]+)\]\(([^)\s]+)\)/) { link(Regexp.last_match(1), Regexp.last_match(2)) }
  end

  # Returns the text without any marks, for summaries and search indexes.
  def strip_marks(text)
    text.gsub(/\[([^\]]+)\]\([^)]*\)/, '\1').gsub(/[*`]+/, "").strip
  end

  private

  # Removes the lines of the next block from the front and returns the block.
  def take_block(lines)
    case lines.first
    when /\A(\#{1,6})\s+(.*)/
      lines.shift
      Block.new(:heading, [Regexp.last_match(2)], Regexp.last_match(1).length)
    when /\A```/ then take_code(lines)
    when /\A[-*]\s/ then Block.new(:bullets, take_while_matching(lines, /\A[-*]\s+/))
    when /\A\d+\.\s/ then Block.new(:numbers, take_while_matching(lines, /\A\d+\.\s+/))
    when /\A>/ then Block.new(:quote, take_while_matching(lines, /\A>\s?/))
    else take_paragraph(lines)
    end
  end

  # Collects everything up to the closing fence; a missing fence ends at the last line.
  def take_code(lines)
    lines.shift
    code = lines.take_while { |line| !line.start_with?("```") }
    lines.shift(code.size + 1)
    Block.new(:code, code)
  end

  # Takes lines as long as they begin with the marker and cuts the marker off.
  def take_while_matching(lines, marker)
    taken = lines.take_while { |line| line.match?(marker) }
    lines.shift(taken.size)
    taken.map { |line| line.sub(marker, "") }
  end

  # Takes plain lines until a blank line or the beginning of another kind of block.
  def take_paragraph(lines)
    taken = [lines.shift]
    taken << lines.shift until lines.empty? || lines.first.match?(/\A(\s*\z|\#{1,6}\s|```|[-*]\s|>|\d+\.\s)/)
    Block.new(:paragraph, taken)
  end

  # Writes the HTML of one block.
  def render_block(block)
    case block.kind
    when :heading then heading(block)
    when :code then tag("pre", tag("code", CGI.escapeHTML(block.content.join("\n"))))
    when :bullets then tag("ul", items(block.content))
    when :numbers then tag("ol", items(block.content))
    when :quote then tag("blockquote", inline(block.content.join(" ")))
    else tag("p", inline(block.content.join(" ")))
    end
  end

  # Renders a heading and derives an id from its words when the option is on.
  def heading(block)
    text = block.content.first
    id = %( id="#{strip_marks(text).downcase.scan(/\w+/).join("-")}") if @heading_ids
    "<h#{block.level}#{id}>#{inline(text)}</h#{block.level}>"
  end

  # Wraps each entry of a list into an item element.
  def items(entries)
    entries.map { |entry| tag("li", inline(entry)) }.join
  end

  # Allows only harmless addresses in links and drops all others to their plain text.
  def link(text, address)
    return text unless address.match?(/\A(https?:|mailto:|[\/#.])/)

    %(<a href="#{address}">#{text}</a>)
  end

  # Encloses content in an element.
  def tag(name, content) = "<#{name}>#{content}</#{name}>"
end

if __FILE__ == $PROGRAM_NAME
  html = ->(source) { MarkdownRenderer.to_html(source) }
  raise "heading" unless html["## Big *news*"] == "<h2>Big <em>news</em></h2>"
  raise "paragraph" unless html["a\nb\n\n\nc"] == "<p>a b</p>\n<p>c</p>"
  raise "list" unless html["- x\n- **y**"] == "<ul><li>x</li><li><strong>y</strong></li></ul>"
  raise "numbers" unless html["text\n1. x\n2. y"] == "<p>text</p>\n<ol><li>x</li><li>y</li></ol>"
  raise "code" unless html["```ruby\na < b\n\nc\n```\nd"] == "<pre><code>a &lt; b\n\nc</code></pre>\n<p>d</p>"
  raise "quote" unless html["> to be\n> or not"] == "<blockquote>to be or not</blockquote>"
  raise "inline" unless html["`<x>`"] == "<p><code>&lt;x&gt;</code></p>"
  raise "link" unless html["[a](/b)"] == '<p><a href="/b">a</a></p>'
  raise "bad link" unless html["[a](javascript:alert)"] == "<p>a</p>"
  raise "open fence" unless html["```\nx"] == "<pre><code>x</code></pre>"
  renderer = MarkdownRenderer.new(heading_ids: true)
  raise "id" unless renderer.render("# The `first` one") == '<h1 id="the-first-one">The <code>first</code> one</h1>'
  raise "outline" unless renderer.outline("# A\ntext\n### *B*") == [[1, "A"], [3, "B"]]
end

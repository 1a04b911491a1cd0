# frozen_string_literal: true

# A builder that writes HTML with nested Ruby blocks.

module DemoHtml
  VOID = %i[br hr img input link meta].freeze
  ENTITIES = { "&" => "&amp;", "<" => "&lt;", ">" => "&gt;", '"' => "&quot;", "'" => "&#39;" }.freeze

  # Text that is already safe and will not be escaped again.
  class SafeText < String; end

  # Escapes the characters with a special meaning in HTML, unless the text is marked as safe.
  def self.escape(text)
    return text if text.is_a?(SafeText)

    SafeText.new(text.to_s.gsub(/[&<>"']/, ENTITIES))
  end

  # Renders the tags that are called inside the block.
  def self.render(&block)
    Builder.new.tap { |builder| builder.instance_eval(&block) }.to_s
  end

  # Collects the output; unknown methods become tags.
  class Builder
    # Starts with an empty page, indented by the given number of spaces per level.
    def initialize(indent: 2)
      @lines = []
      @indent = indent
      @depth = 0
    end

    # Writes an element with attributes and either a text or the tags of the block inside it.
    def tag(name, text = nil, **attributes, &block)
      opening = "<#{name}#{format_attributes(attributes)}>"
      if VOID.include?(name)
        line(opening)
      elsif block
        line(opening)
        nested(&block)
        line("</#{name}>")
      else
        line("#{opening}#{DemoHtml.escape(text)}</#{name}>")
      end
      self
    end

    # Adds escaped text on a line of its own.
    def text(content)
      line(DemoHtml.escape(content))
    end

    # Inserts markup without escaping it; use this only for trusted text.
    def raw(markup)
      markup.each_line(chomp: true) { |row| line(row) }
    end

    # Adds a comment and breaks up double hyphens that would end it too early.
    def comment(content)
      line("<!-- #{content.gsub('--', '- -')} -->")
    end

    # Builds a table with one row per record and one column per entry of the headings.
    #
    # The headings map the attribute of a record to the title of its column.
    def data_table(records, headings)
      tag(:table) do
        tag(:tr) { headings.each_value { |title| tag(:th, title) } }
        records.each do |record|
          tag(:tr) { headings.each_key { |key| tag(:td, record[key]) } }
        end
      end
    end

    # Treats a call of an unknown method as a tag, so that div(class: "box") works.
    def method_missing(name, *arguments, **attributes, &block)
      return super unless respond_to_missing?(name)

      tag(name, *arguments, **attributes, &block)
    end

    # Claims to respond to every name that could be a tag.
    def respond_to_missing?(name, include_private = false)
      name.match?(/\A[a-z][a-z0-9]*\z/) || super
    end

    # Joins all lines into the finished page.
    def to_s
      SafeText.new(@lines.join("\n"))
    end

    private

    # Appends a line at the current depth.
    def line(content)
      @lines << ((" " * (@depth * @indent)) + content)
      self
    end

    # Runs the block one level deeper.
    def nested(&block)
      @depth += 1
      instance_eval(&block)
    ensure
      @depth -= 1
    end

    # Writes attributes in the order given; true stands for a bare name, and nil or false drop it.
    def format_attributes(attributes)
      attributes.map do |name, value|
        key = name.to_s.tr("_", "-")
        case value
        when nil, false then ""
        when true then " #{key}"
        when Array then %( #{key}="#{DemoHtml.escape(value.compact.join(' '))}")
        else %( #{key}="#{DemoHtml.escape(value)}")
        end
      end.join
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  html = DemoHtml.render do
    div(class: ["box", nil, "wide"], data_id: 3, hidden: true, title: nil) do
      h1 "Tom & <Jerry>"
      br
      text "plain"
      comment "a -- b"
      raw "<b>bold</b>"
    end
  end
  expected = <<~HTML.chomp
    <div class="box wide" data-id="3" hidden>
      <h1>Tom &amp; &lt;Jerry&gt;</h1>
      <br>
      plain
      <!-- a - - b -->
      <b>bold</b>
    </div>
  HTML
  raise "html:\n#{html}" unless html == expected
  raise "safe" unless DemoHtml.escape(DemoHtml.escape("<")) == "&lt;"
  table = DemoHtml::Builder.new.data_table([{ name: "A", age: 1 }], { name: "Name", age: "Age" }).to_s
  raise "table" unless table.include?("<th>Age</th>") && table.include?("    <td>1</td>")
  builder = DemoHtml::Builder.new
  raise "respond" if builder.respond_to?(:Strange!)
  begin
    builder.public_send(:wrong?)
    raise "no error"
  rescue NoMethodError => e
    raise "name" unless e.name == :wrong?
  end
end

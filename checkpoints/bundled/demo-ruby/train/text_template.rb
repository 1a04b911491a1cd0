# frozen_string_literal: true

require "cgi"

# A small template language with variables, filters, sections and partials.
class TextTemplate
  # Raised when a template is not well formed.
  class SyntaxError < StandardError; end

  # Raised in strict mode when a template names a variable nobody supplied.
  class MissingVariable < KeyError; end

  TAG = /\{\{\s*([#\/^>]?)\s*([\w.]+)((?:\s*\|\s*\w+)*)\s*\}\}/

  FILTERS = {
    "upcase" => ->(value) { value.to_s.upcase },
    "capitalize" => ->(value) { value.to_s.capitalize },
    "escape" => ->(value) { CGI.escapeHTML(value.to_s) },
    "length" => ->(value) { value.length },
    "join" => ->(value) { Array(value).join(", ") }
  }.freeze

  Section = Struct.new(:name, :inverted, :children)
  Variable = Struct.new(:path, :filters)
  Partial = Struct.new(:name)

  # Parses a template and renders it at once with the given variables.
  def self.render(source, **variables)
    new(source).render(variables)
  end

  # Compiles the source; +partials+ maps names to templates that may be included.
  def initialize(source, partials: {}, strict: false)
    @partials = partials
    @strict = strict
    @nodes = parse(source)
  end

  # Renders the template with a hash of variables and returns the finished text.
  def render(variables)
    render_nodes(@nodes, [variables.transform_keys(&:to_s)])
  end

  # Lists the names of all variables the template mentions, each once.
  def variables(nodes = @nodes)
    nodes.flat_map do |node|
      case node
      when Variable then [node.path]
      when Section then [node.name, *variables(node.children)]
      else []
      end
    end.uniq
  end

  private

  # Turns the source into a tree of strings, variables and sections.
  def parse(source)
    stack = [Section.new(nil, false, [])]
    position = 0
    while (match = TAG.match(source, position))
      stack.last.children << source[position...match.begin(0)]
      handle_tag(stack, *match.captures)
      position = match.end(0)
    end
    raise SyntaxError, "section #{stack.last.name} is never closed" if stack.size > 1

    stack.last.children << source[position..]
  end

  # Adds the node for one tag to the innermost open section, opening or closing sections as needed.
  def handle_tag(stack, sigil, name, filters)
    case sigil
    when "#", "^"
      section = Section.new(name, sigil == "^", [])
      stack.last.children << section
      stack << section
    when "/"
      raise SyntaxError, "unexpected end of #{name}" unless stack.last.name == name

      stack.pop
    when ">" then stack.last.children << Partial.new(name)
    else stack.last.children << Variable.new(name, filters.scan(/\w+/))
    end
  end

  # Renders a list of nodes within a stack of scopes.
  def render_nodes(nodes, scopes)
    nodes.map do |node|
      case node
      when String then node
      when Variable then apply_filters(lookup(node.path, scopes), node.filters)
      when Partial then self.class.new(@partials.fetch(node.name), partials: @partials).render(scopes.reduce(:merge))
      else render_section(node, scopes)
      end
    end.join
  end

  # Renders a section once for every element of a list, once for a true value and not at all for a false one.
  def render_section(section, scopes)
    value = lookup(section.name, scopes)
    blank = value.nil? || value == false || (value.respond_to?(:empty?) && value.empty?)
    return blank ? render_nodes(section.children, scopes) : "" if section.inverted
    return "" if blank

    items = value.is_a?(Array) ? value : [value]
    items.map do |item|
      scope = item.is_a?(Hash) ? item.transform_keys(&:to_s) : { "it" => item }
      render_nodes(section.children, scopes + [scope])
    end.join
  end

  # Resolves a dotted path in the innermost scope that knows its first part.
  def lookup(path, scopes)
    first, *rest = path.split(".")
    scope = scopes.reverse.find { |candidate| candidate.key?(first) }
    raise MissingVariable, "no value for #{path}" if scope.nil? && @strict

    rest.reduce(scope && scope[first]) do |value, key|
      value.is_a?(Hash) ? value.fetch(key) { value[key.to_sym] } : nil
    end
  end

  # Sends a value through a chain of named filters.
  def apply_filters(value, names)
    names.reduce(value) do |result, name|
      filter = FILTERS.fetch(name) { raise SyntaxError, "unknown filter #{name}" }
      filter.call(result)
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  render = ->(source, **vars) { TextTemplate.render(source, **vars) }
  raise "variable" unless render.call("Hi {{ name | upcase }}!", name: "ann") == "Hi ANN!"
  raise "dots" unless render.call("{{user.name}}", user: { name: "Bo" }) == "Bo"
  raise "list" unless render.call("{{#items}}<{{it}}>{{/items}}", items: [1, 2]) == "<1><2>"
  raise "inverted" unless render.call("{{^items}}none{{/items}}", items: []) == "none"
  raise "hashes" unless render.call("{{#rows}}{{id}};{{/rows}}", rows: [{ id: 1 }, { id: 2 }]) == "1;2;"
  raise "chain" unless render.call("{{ x | join | escape }}", x: %w[< >]) == "&lt;, &gt;"
  template = TextTemplate.new("{{> head}}{{body}}", partials: { "head" => "# {{title}}\n" })
  raise "partial" unless template.render(title: "T", body: "B") == "# T\nB"
  raise "names" unless TextTemplate.new("{{a}}{{#b}}{{a}}{{c}}{{/b}}").variables == %w[a b c]
  begin
    TextTemplate.new("{{#open}}")
    raise "must not parse"
  rescue TextTemplate::SyntaxError
    nil
  end
  begin
    TextTemplate.new("{{x}}", strict: true).render({})
    raise "must not render"
  rescue TextTemplate::MissingVariable
    nil
  end
end

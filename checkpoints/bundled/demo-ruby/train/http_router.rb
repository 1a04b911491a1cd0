# frozen_string_literal: true

# A small router that maps verbs and path patterns to handlers.

module DemoRouting
  # Raised when no path can be generated for a named route.
  class UnknownRoute < KeyError; end

  # One entry of the routing table.
  class Route
    attr_reader :verb, :pattern, :name, :handler

    # Stores the parts of a route and compiles its pattern to a regular expression.
    def initialize(verb, pattern, handler, name: nil)
      @verb = verb.to_s.upcase
      @pattern = pattern
      @handler = handler
      @name = name
      @regexp = compile(pattern)
    end

    # Compares a verb and a path with this route and returns the captured parameters, or nil if they differ.
    def match(verb, path)
      return nil unless verb.to_s.upcase == @verb

      found = @regexp.match(path)
      found && found.named_captures.transform_keys(&:to_sym)
    end

    # Checks whether the path fits this route for any verb.
    def path?(path)
      @regexp.match?(path)
    end

    # Fills the placeholders of the pattern with the given values.
    #
    # Raises KeyError if a value for one of the placeholders is missing.
    def expand(**values)
      @pattern.gsub(/[:*](\w+)/) { values.fetch(Regexp.last_match(1).to_sym).to_s }
    end

    private

    # Translates ":name" into a group for one segment and "*name" into a group for the rest of the path.
    def compile(pattern)
      source = pattern.split("/", -1).map do |part|
        case part
        when /\A:(\w+)\z/ then "(?<#{Regexp.last_match(1)}>[^/]+)"
        when /\A\*(\w+)\z/ then "(?<#{Regexp.last_match(1)}>.*)"
        else Regexp.escape(part)
        end
      end
      Regexp.new("\\A#{source.join('/')}\\z")
    end
  end

  # Looks up routes in the order in which they were drawn.
  class Router
    # Creates an empty table and evaluates the block inside the new router.
    def initialize(&block)
      @routes = []
      @prefix = ""
      instance_eval(&block) if block
    end

    %w[get post put delete].each do |verb|
      define_method(verb) { |path, name: nil, &handler| draw(verb, path, handler, name) }
    end

    # Runs the block with a path prefix that is put before every route drawn inside it.
    def scope(prefix)
      previous = @prefix
      @prefix = "#{previous}/#{prefix}"
      yield
    ensure
      @prefix = previous
    end

    # Finds the first matching route and calls its handler with the path parameters.
    #
    # Answers 404 when no path matches and 405 when only the verb is wrong.
    def call(verb, path)
      @routes.each do |route|
        params = route.match(verb, path)
        return [200, route.handler.call(**params)] if params
      end
      allowed = verbs_for(path)
      allowed.empty? ? [404, "not found"] : [405, "allowed: #{allowed.join(', ')}"]
    end

    # Generates the path of a named route from the values of its placeholders.
    def path_for(name, **values)
      route = @routes.find { |candidate| candidate.name == name }
      raise UnknownRoute, "no route is named #{name.inspect}" unless route

      route.expand(**values)
    end

    # Lists the verbs that are accepted for a path, in alphabetical order.
    def verbs_for(path)
      @routes.select { |route| route.path?(path) }.map(&:verb).uniq.sort
    end

    # Formats the routing table with aligned columns for display in a terminal.
    def to_table
      width = @routes.map { |route| route.verb.length }.max || 0
      @routes.map { |route| "#{route.verb.ljust(width)}  #{route.pattern}" }.join("\n")
    end

    private

    # Adds a route below the current prefix to the end of the table.
    def draw(verb, path, handler, name)
      @routes << Route.new(verb, @prefix + path, handler, name: name)
      self
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  router = DemoRouting::Router.new do
    get("/", name: :root) { "home" }
    scope("api") do
      get("/users/:id", name: :user) { |id:| "user #{id}" }
      delete("/users/:id") { |id:| "gone #{id}" }
    end
    get("/files/*path") { |path:| path }
  end
  raise "root" unless router.call("GET", "/") == [200, "home"]
  raise "param" unless router.call(:get, "/api/users/7") == [200, "user 7"]
  raise "splat" unless router.call("get", "/files/a/b.txt") == [200, "a/b.txt"]
  raise "404" unless router.call("GET", "/nope").first == 404
  raise "405" unless router.call("POST", "/api/users/7") == [405, "allowed: DELETE, GET"]
  raise "path_for" unless router.path_for(:user, id: 3) == "/api/users/3"
  raise "table" unless router.to_table.lines.first == "GET     /\n"
  begin
    router.path_for(:missing)
    raise "no error"
  rescue DemoRouting::UnknownRoute => e
    raise "text" unless e.message.include?(":missing")
  end
end

# frozen_string_literal: true

# A registry for plugins with versions, dependencies and hooks.

module DemoPlugins
  # Raised when a plugin is missing or cannot be loaded.
  class PluginError < StandardError; end

  # Base class of plugins; subclasses register themselves when they are defined.
  class Plugin
    class << self
      # Adds each new subclass to the list of known plugins.
      def inherited(subclass)
        super
        Plugin.known << subclass
      end

      # Lists all plugin classes in the order in which they were defined.
      def known
        Plugin.instance_variable_get(:@known) || Plugin.instance_variable_set(:@known, [])
      end

      # Sets the name of the plugin when called with a value and reads it otherwise.
      #
      # Without an explicit name, the name of the class in lower case is used.
      def plugin_name(value = nil)
        @plugin_name = value if value
        @plugin_name || name.split("::").last.gsub(/(?<=[a-z])(?=[A-Z])/, "_").downcase.to_sym
      end

      # Declares the names of other plugins that must be loaded first.
      def requires(*names)
        @requirements = names
      end

      # Returns the names of the required plugins.
      def requirements = @requirements || []
    end

    # Does nothing; plugins override this to prepare themselves.
    def start(_host); end
  end

  # Loads plugins and offers hooks to them.
  class Host
    # Creates a host that can choose among the given plugin classes.
    def initialize(available = Plugin.known)
      @available = available.to_h { |klass| [klass.plugin_name, klass] }
      @loaded = {}
      @hooks = Hash.new { |hash, name| hash[name] = [] }
    end

    # Loads a plugin after everything it requires and returns its instance.
    #
    # A plugin that is already loaded is not started again.
    def load(name, path = [])
      return @loaded[name] if @loaded.key?(name)
      raise PluginError, "plugins require each other: #{[*path, name].join(' -> ')}" if path.include?(name)

      klass = @available.fetch(name) { raise PluginError, missing_text(name, path.last) }
      klass.requirements.each { |required| load(required, [*path, name]) }
      @loaded[name] = klass.new.tap { |plugin| plugin.start(self) }
    end

    # Loads all available plugins and returns their names in the order of loading.
    def load_all
      @available.each_key { |name| load(name) }
      loaded_names
    end

    # Names the plugins that have been loaded so far.
    def loaded_names = @loaded.keys

    # Tells whether a plugin has been loaded.
    def loaded?(name) = @loaded.key?(name)

    # Registers a block that is called when the hook is triggered.
    def on(hook, &block)
      @hooks[hook] << block
      self
    end

    # Calls all blocks of a hook and collects what they return, leaving out nil.
    def trigger(hook, *arguments)
      @hooks.fetch(hook, []).filter_map { |block| block.call(*arguments) }
    end

    # Passes a value through all blocks of a hook, each one working on the result of the one before.
    def filter(hook, value, *context)
      @hooks.fetch(hook, []).reduce(value) { |current, block| block.call(current, *context) }
    end

    private

    # Words the error for an unknown plugin and mentions the plugin that asked for it.
    def missing_text(name, parent)
      text = "no plugin is called #{name}"
      text += ", required by #{parent}" if parent
      "#{text}; available: #{@available.keys.sort.join(', ')}"
    end
  end
end

# An example plugin that makes texts louder.
class DemoShouter < DemoPlugins::Plugin
  plugin_name :shouter
  requires :trim_spaces

  # Hooks into the rendering of text and converts it to capitals.
  def start(host)
    host.on(:render) { |text| text.upcase }
  end
end

# An example plugin that removes white space around texts.
class TrimSpaces < DemoPlugins::Plugin
  # Hooks into the rendering of text and strips it, and announces itself when the host is ready.
  def start(host)
    host.on(:render) { |text| text.strip }
    host.on(:ready) { "trimmer is here" }
  end
end

if __FILE__ == $PROGRAM_NAME
  host = DemoPlugins::Host.new
  raise "order" unless host.load_all == %i[trim_spaces shouter]
  raise "filter" unless host.filter(:render, "  hi ") == "HI"
  raise "trigger" unless host.trigger(:ready) == ["trimmer is here"] && host.trigger(:other) == []
  raise "once" unless host.load(:shouter).equal?(host.load(:shouter))
  left = Class.new(DemoPlugins::Plugin) { plugin_name(:left); requires(:right) }
  right = Class.new(DemoPlugins::Plugin) { plugin_name(:right); requires(:left) }
  { [left, right] => "left -> right -> left", [left] => "no plugin is called right, required by left" }
    .each do |classes, text|
      DemoPlugins::Host.new(classes).load(:left)
      raise "no error"
    rescue DemoPlugins::PluginError => e
      raise "text: #{e.message}" unless e.message.include?(text)
    end
  raise "loaded" unless host.loaded?(:shouter) && !host.loaded?(:left)
end

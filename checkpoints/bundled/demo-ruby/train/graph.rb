# frozen_string_literal: true

# A weighted directed graph with the usual traversals and path searches.
class Graph
  # Raised by operations that need a graph without cycles.
  class CycleError < StandardError; end

  # Builds a graph from a hash that maps every node to its successors.
  def self.from_hash(hash)
    hash.each_with_object(new) do |(node, successors), graph|
      graph.add_node(node)
      successors.each { |successor| graph.connect(node, successor) }
    end
  end

  def initialize
    @edges = {}
  end

  # Makes sure that the node exists, even without any edge.
  def add_node(node)
    @edges[node] ||= {}
    self
  end

  # Adds an edge with a weight; with +both_ways+ the reverse edge is added as well.
  def connect(from, to, weight: 1, both_ways: false)
    add_node(from)
    add_node(to)
    @edges[from][to] = weight
    @edges[to][from] = weight if both_ways
    self
  end

  # Returns all nodes in the order in which they were added.
  def nodes
    @edges.keys
  end

  # Lists the nodes that can be reached from the given one over a single edge.
  def successors(node)
    @edges.fetch(node).keys
  end

  # Counts the edges that point to a node.
  def in_degree(node)
    @edges.count { |_from, targets| targets.key?(node) }
  end

  # Visits the reachable nodes level by level, nearest first.
  def breadth_first(start)
    return enum_for(:breadth_first, start) unless block_given?

    seen = { start => true }
    queue = [start]
    until queue.empty?
      node = queue.shift
      yield node
      successors(node).each do |successor|
        next if seen[successor]

        seen[successor] = true
        queue << successor
      end
    end
  end

  # Visits the reachable nodes by following each branch to its end before turning back.
  def depth_first(start, seen = {}, &block)
    return enum_for(:depth_first, start) unless block
    return if seen[start]

    seen[start] = true
    yield start
    successors(start).each { |successor| depth_first(successor, seen, &block) }
  end

  # Finds the cheapest path between two nodes and returns its cost together with the nodes on it.
  #
  # Returns nil if the target cannot be reached. Weights must not be negative.
  def shortest_path(from, to)
    costs = { from => 0 }
    previous = {}
    open = [from]
    until open.empty?
      node = open.min_by { |candidate| costs[candidate] }
      return [costs[node], unwind(previous, node)] if node == to

      open.delete(node)
      @edges[node].each do |successor, weight|
        cost = costs[node] + weight
        next if costs.key?(successor) && costs[successor] <= cost

        costs[successor] = cost
        previous[successor] = node
        open << successor unless open.include?(successor)
      end
    end
    nil
  end

  # Sorts the nodes so that every edge points forward.
  #
  # Raises CycleError if no such order exists.
  def topological_order
    waiting = nodes.to_h { |node| [node, in_degree(node)] }
    ordered = []
    until waiting.empty?
      free = waiting.key(0)
      raise CycleError, "cycle among #{waiting.keys.inspect}" unless free

      waiting.delete(free)
      successors(free).each { |successor| waiting[successor] -= 1 }
      ordered << free
    end
    ordered
  end

  # Checks whether following the edges can ever lead back to the same node.
  def cyclic?
    topological_order
    false
  rescue CycleError
    true
  end

  # Returns a new graph in which all edges point the other way.
  def reverse
    flipped = Graph.new
    nodes.each { |node| flipped.add_node(node) }
    @edges.each do |from, targets|
      targets.each { |to, weight| flipped.connect(to, from, weight: weight) }
    end
    flipped
  end

  # Groups the nodes into components that are connected when the direction of edges is ignored.
  def components
    mirrored = reverse
    seen = {}
    nodes.filter_map do |start|
      next if seen[start]

      collect_component(start, mirrored, seen)
    end
  end

  private

  # Follows the recorded predecessors back to the start and returns the path in walking order.
  def unwind(previous, node)
    path = [node]
    path.unshift(node) while (node = previous[node])
    path
  end

  # Gathers everything connected with a start node in either direction and marks it as seen.
  def collect_component(start, mirrored, seen)
    pending = [start]
    component = []
    while (node = pending.pop)
      next if seen[node]

      seen[node] = true
      component << node
      pending.concat(successors(node), mirrored.successors(node))
    end
    component
  end
end

if __FILE__ == $PROGRAM_NAME
  graph = Graph.from_hash(a: %i[b c], b: %i[d], c: %i[d], d: [], x: %i[y])
  raise "nodes" unless graph.nodes == %i[a b c d x y]
  raise "bfs" unless graph.breadth_first(:a).to_a == %i[a b c d]
  raise "dfs" unless graph.depth_first(:a).to_a == %i[a b d c]
  raise "topo" unless graph.topological_order == %i[a b c d x y] && !graph.cyclic?
  raise "components" unless graph.components.map(&:sort) == [%i[a b c d], %i[x y]]
  raise "reverse" unless graph.reverse.successors(:d) == %i[b c] && graph.in_degree(:d) == 2
  roads = Graph.new
  roads.connect(:home, :shop, weight: 4, both_ways: true).connect(:home, :park, weight: 1)
  roads.connect(:park, :shop, weight: 2)
  raise "path" unless roads.shortest_path(:home, :shop) == [3, %i[home park shop]]
  raise "no path" unless roads.add_node(:moon).shortest_path(:home, :moon).nil?
  raise "cycle" unless roads.cyclic?
end
